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
        "ICECC is set to no or disable, so icecc compiles nothing on nodes.",
        "Unset it: unset ICECC",
    ),
    Reason(
        BYPASSED,
        "The compiler was called without icecc.",
        "Call it by a name that /usr/lib/icecc/bin has (gcc, g++, cc, c++, clang, clang++) and without a path, or put "
        "icecc before it. What icecc would say: farm explain -- icecc COMPILER -c FILE",
    ),
    Reason(
        CCACHE_HIT,
        "ccache had the result, or did the work itself: icecc was not called.",
    ),
    Reason(
        NO_CALL,
        "Nothing came by icecc: the command calls no compiler, or calls it by a path of its own.",
        "Give the command that compiles one file, as make or ninja -v prints it.",
    ),
    Reason(
        "recursion",
        "icecc was called by itself and refused.",
        "Let it in by one way only: PATH, or CCACHE_PREFIX, or a launcher of CMake. farm env prints settings that fit.",
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
        "ICECC_TEST_SOCKET names a socket at which nobody listens.",
        "Where farm run or farm env has set it, start the iceccd that listens there: farm join SERVER. Else unset it: "
        "unset ICECC_TEST_SOCKET",
        says=("test socket error",),
    ),
    Reason(
        "daemon-version",
        "This machine's iceccd is too old to send the extra files that this call needs.",
        "Update icecream here, then start iceccd anew.",
        says=(r"Local daemon is too old to handle extra files\.",),
    ),
    Reason(
        "daemon-lost",
        "The connection to this machine's iceccd broke.",
        "See that iceccd stays up: its log tells why it ended.",
        says=(
            "failed to write get native environment",
            error(24, "asked for CS.*"),
            error(0),
            error(29),
        ),
    ),
    Reason(
        "no-answer",
        "No node was named within four minutes, or iceccd lost its scheduler meanwhile.",
        "Look at the scheduler: farm status",
        says=(error(1),),
    ),
    Reason(
        NOT_MADE,
        "iceccd could not pack this compiler into an environment for nodes.",
        "Try by hand and read what it says: icecc-create-env gcc. Where it lacks a g++, as for many a cross compiler, "
        "use what farm env prints: farm env --cross TRIPLET=COMPILER",
        says=(r"daemon can't determine native environment\..*",),
    ),
    Reason(
        OUTDATED,
        "The compiler has changed since iceccd started (or a file that is packed with it has, or what was packed is "
        "gone), and icecc 1.4 then never packs it again.",
        "Restart iceccd: sudo systemctl restart iceccd. Where it is your own, or the farm server's and you are root, "
        "this restarts it: farm run -- COMMAND",
    ),
    Reason(
        "environment-missing",
        "The environment that ICECC_VERSION names is not there, cannot be read, or is no file of its own.",
        "Make one with icecc-create-env and name it by its full path, or unset ICECC_VERSION.",
        says=(
            r"\$ICECC_VERSION has to point to an existing file to be installed .*",
            r"can't read environment .*",
            error(4),
            error(5),
        ),
    ),
    Reason(
        "environment-not-tar",
        "ICECC_VERSION names a file that is no .tar, .tar.gz, .tar.bz2, .tar.xz, .tar.zst or .tgz.",
        "Name the file that icecc-create-env made, or unset ICECC_VERSION.",
        says=(error(22, r"\$ICECC_VERSION.*"),),
    ),
    Reason(
        NO_ENVIRONMENT,
        "ICECC_VERSION has environments for other compilers than this one.",
        "Add one for it: ICECC_VERSION=native.tar.gz,cross.tar.gz=PREFIX, where PREFIX is what stands before -gcc.",
    ),
    Reason(
        ENVIRONMENT_SETTING,
        "ICECC_VERSION cannot be understood.",
        "Write it as FILE, PLATFORM:FILE or FILE=PREFIX, with commas between several.",
        says=(r"An exception was handled parsing the icecc version\..*",),
    ),
    Reason(
        PREPROCESSING,
        "The preprocessor failed here, before a node could compile anything.",
        "Fix what the compiler complains of (a missing header, #error). If it compiles all the same, only gcc's "
        "-fdirectives-only, which icecc adds, cannot take the file, and compiling it here is right; whether a setting "
        f"helps is tried by: {AGAIN}",
        says=(error(103), r"call_cpp process failed with exit status \d+"),
        tries=("ICECC_REMOTE_CPP=0",),
    ),
    Reason(
        "lock-failed",
        "icecc could not take its lock in /tmp/.icecream-USER.",
        "See that the folder belongs to you and that /tmp has room.",
        says=("can't lock for local (?:cpp|job)", error(32, "lock failed.*")),
    ),
    Reason(
        "process-limit",
        "This machine could start no more processes.",
        "Raise the limit (ulimit -u), or run fewer jobs at a time.",
        says=(error(10), error(18)),
    ),
    Reason(
        "source-unreadable",
        "The preprocessed source or the environment could not be read.",
        "See that the disk and /tmp are in order.",
        says=(error(11), error(16)),
    ),
    Reason(
        "output-not-written",
        "The object that came back could not be written.",
        "See that the output's folder exists, may be written, and has room.",
        says=(error(21), error(30), error(31)),
    ),
)
