"""Telling farmd of a run, so that the farm's history knows it as one build with a name."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from farm.home import Home
from farm.workstation import asking_farmd
from farm.workstation.explain.last_run import legible, run_id
from farm.workstation.membership import Membership

MAX_DEFAULT = 80
SHELLS = ("sh", "bash", "dash", "zsh")
WORD = re.compile(r"[\w.+-]+")


def command_line(argv: Sequence[str]) -> str:
    """A command line, shortened."""
    line = " ".join(legible(shlex.join(argv)).split())
    return line if len(line) <= MAX_DEFAULT else line[: MAX_DEFAULT - 1] + "…"


def usual_name(argv: Sequence[str], folder: str) -> str:
    """What the build is called unless it is given a name: FOLDER/COMMAND, which is the same for the next build there.

    Of a script for a shell (sh -c 'make -j8') the command is its first word.
    """
    word = os.path.basename(argv[0])
    if word in SHELLS and len(argv) > 2 and argv[1] == "-c":
        word = os.path.basename(next(iter(argv[2].split()), ""))
        word = word if WORD.fullmatch(word) else os.path.basename(argv[0])
    parts = (os.path.basename(folder), word)
    return "/".join(" ".join(legible(part).split()) or "?" for part in parts)[-MAX_DEFAULT:]


class Announcer:
    """Tells farmd of one run; where farmd is out of reach, or wants a token that is not there, nobody is told.

    ``home``: of the farm on its server; elsewhere farmd is asked over the network, with the token in FARM_API_TOKEN.
    ``log``: icecc's, if the run knows its jobs from it.
    """

    def __init__(
        self, membership: Membership, home: Home, name: str, text: str, environment: Mapping[str, str], log: Path | None
    ) -> None:
        self.id = run_id(log) if log else secrets.token_hex(8)
        self._membership, self._home = membership, home
        self._name, self._text, self._claims = name, text, log is not None
        self._environment = environment
        self._began = time.monotonic()
        self._told: set[int] = set()
        self.taken: set[int] = set()
        """Jobs that another run had claimed before this one did."""
        self._over = False
        self._speaking = threading.Lock()

    @property
    def able(self) -> bool:
        """Whether there is a farmd to tell."""
        return asking_farmd.within_reach(self._membership, self._environment)

    def news(self, jobs: Collection[int]) -> bool:
        """Whether farmd has yet to be told of any of these jobs."""
        return not self._told.issuperset(jobs)

    def tell(self, jobs: Collection[int], *, going: bool = True) -> bool:
        """Say that the run goes on, or is over, and which jobs are its own; whether farmd has heard it."""
        if not self.able:
            return False
        # Imported by the thread that tells: `farm run` begins sooner without the API's records.
        from farm.history.runs import MAX_TOLD

        with self._speaking:
            if self._over and going:
                return False
            self._over = not going
            fresh = [job for job in jobs if job not in self._told]
            parts = [fresh[start : start + MAX_TOLD] for start in range(0, len(fresh), MAX_TOLD)] or [[]]
            for part in parts:
                if not self._say(part, going=going or part is not parts[-1]):
                    return False
                self._told.update(part)
            return True

    def _say(self, jobs: list[int], *, going: bool) -> bool:
        from farm.api import client
        from farm.history.runs import MAX_TAG, RunNews

        news = RunNews(
            submitter=self._membership.submitter,
            run=self.id,
            name=self._name,
            text=self._text[:MAX_TAG],
            seconds=time.monotonic() - self._began,
            going=going,
            claims=self._claims,
            jobs=jobs,
        )
        heard = asking_farmd.ask(self._membership, self._home, self._environment, client.run_news(news))
        if heard is None:
            return False
        self.taken.update(heard.taken)
        return True
