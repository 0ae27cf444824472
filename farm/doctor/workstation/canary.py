"""Canaries: a small source, new each time so that no cache knows it, compiled on a node of our choice and here."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from farm.doctor.workstation.facts import Canary
from farm.errors import CommandError
from farm.watch.activity import Host
from farm.workstation.explain.icecc_log import CallOutcome, parse

CANARIES_AT_A_TIME = 8
GIVEN_SECONDS = 20.0
"""So long may the scheduler leave a job alone that only one, free node may do."""
FILLER_LINE = 768
"""Random bytes in a line of filler; written as base64, they grow by a third."""
WHOLE_SECONDS = 180.0
"""A node may have to receive and unpack the compiler first."""
CANARY_POLL_SECONDS = 0.1

ASKED = "asking for host to use"
GIVEN = re.compile(r"Have to use host ([^ ]+):\d+")
COMPILED_HERE = ("building_local", "building myself", "local build forced")


def source(name: str, filler: int = 0) -> str:
    """A C program text with a function that nobody else has, and as many bytes that cannot be compressed well."""
    lines = (secrets.token_urlsafe(FILLER_LINE) for _ in range(filler // (FILLER_LINE * 4 // 3)))
    stuffing = "".join(f'    "{line}"\n' for line in lines)
    return (f'const char {name}_filler[] =\n{stuffing}    "";\n' if filler else "") + (
        "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
        f"int {name}(int many)\n{{\n"
        f'    static const char text[] = "{name}";\n'
        "    for (int i = 0; i < many; i++)\n"
        '        if (printf("%s %d\\n", text + (size_t) i % sizeof text, rand()) < 0)\n'
        "            return (int) strlen(text);\n"
        "    return 0;\n}\n"
    )


def waits_for_scheduler(log: str) -> bool:
    """It has asked for a node and was given none."""
    return ASKED in log and not GIVEN.search(log) and not any(mark in log for mark in COMPILED_HERE)


def given_to(log: str) -> str:
    """The address of the node that the scheduler chose; empty when it chose none."""
    found = GIVEN.search(log)
    return found[1] if found else ""


async def release(
    nodes: Sequence[Host],
    icecc: str,
    compiler: str,
    environment: Mapping[str, str],
    filler: int = 0,
    prefix: Sequence[str] = (),
) -> list[Canary]:
    """Compile one here, and once on each node by its name. Raises CommandError when it cannot be compiled here.

    ``prefix``: an argv put before all that is run, with which it becomes nobody's.
    """
    name = f"farm_doctor_{secrets.token_hex(8)}"
    folder = Path(tempfile.mkdtemp(prefix="farm-doctor-"))
    turn = asyncio.Semaphore(CANARIES_AT_A_TIME)
    try:
        if prefix:
            shutil.chown(folder, "nobody")
        (folder / f"{name}.c").write_text(source(name, filler))
        await _compile_here([*prefix, compiler, "-O1", "-c", f"{name}.c", "-o", "here.o"], environment, folder)
        here = (folder / "here.o").read_bytes()

        async def one(number: int, node: Host) -> Canary:
            async with turn:
                argv = [*prefix, icecc, compiler, "-O1", "-c", f"{name}.c", "-o", f"node{number}.o"]
                return await _on(node, argv, environment, folder / f"node{number}", here)

        return list(await asyncio.gather(*(one(number, node) for number, node in enumerate(nodes))))
    finally:
        shutil.rmtree(folder)


async def _compile_here(argv: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise CommandError(list(argv), process.returncode, output.decode(errors="replace"))


async def _on(node: Host, argv: Sequence[str], environment: Mapping[str, str], base: Path, here: bytes) -> Canary:
    log, result = base.with_suffix(".log"), base.with_suffix(".o")
    settings = {"ICECC_PREFERRED_HOST": node.name, "ICECC_DEBUG": "debug", "ICECC_LOGFILE": str(log)}
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=base.parent,
        env={**environment, **settings},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        await _end(process, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()
    text = _read(log)
    calls = parse(text.encode().splitlines())
    ran = process.returncode == 0 and [call.outcome for call in calls] == [CallOutcome.NODE]
    causes = [cause for call in calls for cause in call.causes]
    return Canary(
        node=node.name,
        address=node.address,
        given=given_to(text) == node.address,
        waited=process.returncode == -signal.SIGKILL and waits_for_scheduler(text),
        ran=ran,
        same=ran and result.is_file() and result.read_bytes() == here,
        seconds=time.monotonic() - started,
        sent=calls[0].sent if calls else 0,
        send_ms=calls[0].milliseconds.get("preprocess", 0) if calls else 0,
        reason=causes[0].code if causes else "",
        told=tuple(cause.line for cause in causes),
    )


async def _end(process: asyncio.subprocess.Process, log: Path) -> None:
    """Wait for a compilation's end, but not for ever."""
    deadline = time.monotonic() + WHOLE_SECONDS
    waiting_since = 0.0
    while process.returncode is None and time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), CANARY_POLL_SECONDS)
        if not waits_for_scheduler(_read(log)):
            waiting_since = 0.0
        elif not waiting_since:
            waiting_since = time.monotonic()
        elif time.monotonic() - waiting_since > GIVEN_SECONDS:
            return


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
