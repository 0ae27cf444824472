"""What `farm run` costs: the same build by it and by icecc alone, in turn, on the same farm."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from dataclasses import dataclass
from statistics import median

from farm.virtual.namespace import BIND_AND_RUN, exec_prefix, icecc_folder
from farm.workstation.env.variables import ICECC_WRAPPERS
from tests.lab import until
from tests.run_lab import Farm, add_node, farm_of_two

FILES = 150
JOBS = 4
MAKEFILE = """all: $(patsubst %.cpp,%.o,$(wildcard *.cpp))
%.o: %.cpp
\tg++ -O1 -c $< -o $@
"""
SOURCE = """#include <algorithm>
#include <map>
#include <string>
#include <vector>

std::vector<std::string> sorted{n}(const std::map<std::string, int> &found) {{
    std::vector<std::string> names;
    for (const auto &each : found)
        names.push_back(each.first + "{n}");
    std::sort(names.begin(), names.end());
    return names;
}}
"""
SETTINGS = {"ICECC_PREFERRED_HOST": "pc01"}
"""So that both kinds of build are of the same jobs on the same node."""


@dataclass(frozen=True)
class Build:
    """One build; ``cpu`` is that of the submitter's side: make, icecc, preprocessors, and `farm run`."""

    seconds: float
    cpu: float
    beside: float = 0.0
    """Seconds before the command began and after it had ended."""
    jobs: int = 0


@dataclass(frozen=True)
class Cost:
    """Builds that took turns: the first of one with the first of the other, and so on."""

    bare: list[Build]
    ours: list[Build]

    @property
    def ratio(self) -> float:
        """Median of the pairs' ratios of time."""
        return median(ours.seconds / bare.seconds for ours, bare in zip(self.ours, self.bare, strict=True))

    @property
    def cpu_ratio(self) -> float:
        """The same of processor time."""
        return median(ours.cpu / bare.cpu for ours, bare in zip(self.ours, self.bare, strict=True))


def measure(pairs: int = 3) -> Cost:
    """Build again and again; who goes first changes."""
    with farm_of_two("10.99.52.1", "10.99.52.2") as farm:
        add_node(farm)
        for n in range(FILES):
            (farm.sources / f"part{n}.cpp").write_text(SOURCE.format(n=n))
        (farm.sources / "Makefile").write_text(MAKEFILE)
        build_bare(farm)  # the node receives the compiler
        bare, ours = [], []
        for pair in range(pairs):
            for turn in (pair, pair + 1):
                if turn % 2:
                    ours.append(build_ours(farm))
                else:
                    bare.append(build_bare(farm))
        return Cost(bare, ours)


def build_bare(farm: Farm) -> Build:
    """By make with icecc in PATH."""
    path = os.pathsep.join([ICECC_WRAPPERS, os.environ["PATH"]])
    return _timed(farm, ["make", f"-j{JOBS}"], farm.environment(PATH=path, **SETTINGS))


def build_ours(farm: Farm) -> Build:
    """By `farm run`, with all that it does by itself."""
    record = farm.server.folder / "record.json"
    built = _timed(farm, farm.argv("--json", str(record), "--", "make", f"-j{JOBS}"), farm.environment(**SETTINGS))
    told = json.loads(record.read_text())
    jobs = sum(node["jobs"] for node in told["nodes"].values())
    return Build(built.seconds, built.cpu, built.seconds - told["seconds"], jobs)


def _timed(farm: Farm, argv: list[str], environment: dict[str, str]) -> Build:
    """Time a command inside the lab, where a developer's machine would stand."""
    enter = [*exec_prefix(farm.server.name), "sh", "-c", BIND_AND_RUN, str(icecc_folder(farm.home))]
    subprocess.run(["make", "-s", "--eval", "clean:; rm -f *.o", "clean"], cwd=farm.sources, check=True)
    until(lambda: farm.ready() == len(farm.nodes), "no node gets jobs", 120)
    time.sleep(2)  # the scheduler is slow to accept a connection that follows on another
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([*enter, *argv], cwd=farm.sources, env=environment, check=True, capture_output=True)
    seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Build(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
