"""Errors for users: what failed, why, and how to fix it."""

from __future__ import annotations

import msgspec

from farm.errors.hints import hint

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises at what is no JSON or no such record; the second for text whose bytes are no UTF-8, the third for
what is nested too deeply."""


class FarmError(Exception):
    """The farm says no: what failed, why, and the command or setting that fixes it.

    The command line prints these three and leaves with exit code 1; a traceback never reaches a user.
    """

    exit_code = 1

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = hint(fix)

    def __str__(self) -> str:
        return "\n".join(part for part in (self.what, self.why, self.fix) if part)


class UsageError(FarmError):
    """The command was called wrongly (exit code 2)."""

    exit_code = 2


class PartialError(FarmError):
    """Some nodes or checks failed, the rest went well (exit code 3)."""

    exit_code = 3


class ConfigError(FarmError):
    """farm.yaml says something that cannot be: names file, line and key."""


class CommandError(FarmError):
    """Another program failed: carries its argv, exit code and output."""

    def __init__(self, argv: list[str], returncode: int, output: str, fix: str = "") -> None:
        tail = "\n".join(output.strip().splitlines()[-12:])
        super().__init__(f"{argv[0]} failed with exit code {returncode}: {' '.join(argv)}", tail, fix)
        self.argv = argv
        self.returncode = returncode
        self.output = output


class MissingProgramError(FarmError):
    """A program the farm needs is not installed."""

    def __init__(self, program: str, package: str = "") -> None:
        server = (
            "Install the server part: sudo apt-get install ./icecream-farm_*.deb; in a clone: sudo script/bootstrap"
        )
        fix = f"Install it: apt-get install {package}" if package else server
        super().__init__(f"The program {program} is not installed.", "The farm runs this program from PATH.", fix)
        self.program = program
