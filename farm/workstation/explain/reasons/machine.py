"""Reasons that lie on this machine: settings, the daemon, the compiler's environment."""

from __future__ import annotations

from farm.workstation.explain.reasons.record import Reason


def error(number: int, text: str = ".*") -> str:
    """How icecc words the failure of that number (client_error, remote_error), by which a call comes back here."""
    return rf"(?:got exception|local build forced by remote exception:) Error {number} - {text}"


AGAIN = "farm explain -- COMMAND"
"""What finds out more about one call, which the log of a whole run does not tell."""
DISABLED = "disabled-by-environment"
ENVIRONMENT_SETTING = "environment-setting"
NO_ENVIRONMENT = "environment-for-other-compiler"
BYPASSED = "wrapper-bypassed"
CCACHE_HIT = "ccache-hit"
NO_CALL = "no-compiler-call"
NO_DAEMON = "no-daemon"
DAEMON_LOST = "iceccd-lost"
NOT_MADE = "environment-not-made"
OUTDATED = "environment-outdated"
PREPROCESSING = "preprocessing-failed"

MACHINE = (
    Reason(
        DISABLED,
        "ICECC is set to no or disable, so icecc compiles everything here.",
        "Unset it: unset ICECC",
    ),
    Reason(
        BYPASSED,
        "The compiler was called without icecc.",
        "Call it without a path by a name in /usr/lib/icecc/bin (gcc, g++, cc, c++, clang, clang++), or put icecc in "
        "front of it. To see what icecc does: farm explain -- icecc COMPILER -c FILE",
    ),
    Reason(
        CCACHE_HIT,
        "ccache had the result or did the work itself, so icecc was not called.",
    ),
    Reason(
        NO_CALL,
        "icecc was not called: the command calls no compiler, or calls it by its full path.",
        "Use the command that compiles one file, as make or ninja -v prints it.",
    ),
    Reason(
        "recursion",
        "icecc was called by icecc, and refused.",
        "Use only one of PATH, CCACHE_PREFIX and a CMake launcher. farm env prints suitable settings.",
        says=("icecream seems to have invoked itself recursively!",),
    ),
    Reason(
        "compiler-not-found",
        "The compiler is not in PATH.",
        "Install it, or check its name.",
        says=(r"could not find .* in PATH\.",),
    ),
    Reason(
        DAEMON_LOST,
        "iceccd ended while this machine compiled the file, and icecc 1.4 then reports failure (exit code 129), "
        "whatever the compiler said.",
        "Start the build again. If iceccd is not back by then, on a machine that has joined: farm join. On the farm's "
        "server: sudo farm up",
    ),
    Reason(
        NO_DAEMON,
        "iceccd does not run on this machine, or its socket cannot be reached.",
        "On a machine that has joined: farm join. On the farm's server: sudo farm up",
        says=("no local daemon found",),
    ),
    Reason(
        "test-socket",
        "ICECC_TEST_SOCKET names a socket on which no iceccd listens.",
        "If farm run or farm env has set it, start that iceccd: farm join SERVER. Otherwise unset it: unset "
        "ICECC_TEST_SOCKET",
        says=("test socket error",),
    ),
    Reason(
        "daemon-version",
        "This machine's iceccd is too old to send the extra files that this call needs.",
        "Update icecream here, then restart iceccd.",
        says=(r"Local daemon is too old to handle extra files\.",),
    ),
    Reason(
        "daemon-lost",
        "The connection to this machine's iceccd was lost.",
        "Check iceccd's log for why it ended.",
        says=(
            "failed to write get native environment",
            error(24, "asked for CS.*"),
            error(0),
            error(29),
        ),
    ),
    Reason(
        "no-answer",
        "The scheduler assigned no node within four minutes, or iceccd lost its scheduler.",
        "Check the scheduler: farm status",
        says=(error(1),),
    ),
    Reason(
        NOT_MADE,
        "iceccd could not pack this compiler into an environment for nodes.",
        "Try it by hand and read the error: icecc-create-env gcc. If a g++ is missing, as with many cross compilers: "
        "farm env --cross TRIPLET=COMPILER",
        says=(r"daemon can't determine native environment\..*",),
    ),
    Reason(
        OUTDATED,
        "The compiler has changed since iceccd started (or a file that is packed with it has, or what was packed is "
        "gone), and icecc 1.4 then never packs it again.",
        "Restart iceccd: sudo systemctl restart iceccd. If it is your own, or the farm server's and you are root: "
        "farm run -- COMMAND",
    ),
    Reason(
        "environment-missing",
        "The environment in ICECC_VERSION does not exist, cannot be read, or is a link.",
        "Make one with icecc-create-env and use its full path, or unset ICECC_VERSION.",
        says=(
            r"\$ICECC_VERSION has to point to an existing file to be installed .*",
            r"can't read environment .*",
            error(4),
            error(5),
        ),
    ),
    Reason(
        "environment-not-tar",
        "ICECC_VERSION names a file that is not a .tar, .tar.gz, .tar.bz2, .tar.xz, .tar.zst or .tgz.",
        "Name the file that icecc-create-env made, or unset ICECC_VERSION.",
        says=(error(22, r"\$ICECC_VERSION.*"),),
    ),
    Reason(
        NO_ENVIRONMENT,
        "ICECC_VERSION has no environment for this compiler.",
        "Add one: ICECC_VERSION=native.tar.gz,cross.tar.gz=PREFIX, where PREFIX is the part before -gcc.",
    ),
    Reason(
        ENVIRONMENT_SETTING,
        "ICECC_VERSION is not valid.",
        "Write it as FILE, PLATFORM:FILE or FILE=PREFIX, with commas between several of them.",
        says=(r"An exception was handled parsing the icecc version\..*",),
    ),
    Reason(
        PREPROCESSING,
        "The preprocessor failed here, before a node could compile anything.",
        "Fix the error that the compiler reports (a missing header, #error). If the file still compiles, only gcc's "
        "-fdirectives-only, which icecc adds, fails on it, and it must be compiled here; to try whether a setting "
        f"helps: {AGAIN}",
        says=(error(103), r"call_cpp process failed with exit status \d+"),
        tries=("ICECC_REMOTE_CPP=0",),
    ),
    Reason(
        "lock-failed",
        "icecc could not take its lock in /tmp/.icecream-USER.",
        "Check that the folder belongs to you and that /tmp has free space.",
        says=("can't lock for local (?:cpp|job)", error(32, "lock failed.*")),
    ),
    Reason(
        "process-limit",
        "This machine could not start more processes.",
        "Raise the limit (ulimit -u), or run fewer jobs at a time.",
        says=(error(10), error(18)),
    ),
    Reason(
        "source-unreadable",
        "The preprocessed source or the environment could not be read.",
        "Check the disk and /tmp.",
        says=(error(11), error(16)),
    ),
    Reason(
        "output-not-written",
        "The received object could not be written.",
        "Check that the output's folder exists, is writable, and has free space.",
        says=(error(21), error(30), error(31)),
    ),
)
