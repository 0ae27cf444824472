"""Reasons that lie with the scheduler or a node."""

from __future__ import annotations

from farm.workstation.explain.reasons.machine import AGAIN, error
from farm.workstation.explain.reasons.record import Reason

ASSIGNED_HERE = "assigned-here"
NO_SCHEDULER = "no-scheduler"
NOT_LOGGED_IN = "not-logged-in"
NO_ELIGIBLE_NODE = "no-eligible-node"
PREFERRED_ABSENT = "preferred-host-absent"
OWN_SLOT = "own-slot"
NODES_BUSY = "nodes-busy"
PASSED_OVER = "nodes-passed-over"
NODE_REFUSED = "node-refused"
FELL_BACK = "remote-failed-fell-back"
KILLED = "killed-on-node"
FAILED = "failed-on-node"
OUTPUT = "compiler-output"
REFUSED = "compile-error"
HEADER_USED = "precompiled-header-used"
FILE_MISSING = "remote-file-missing"

LOOK_AT_STATUS = r"(?:Remote status \(compiled on [^)]*\)|remote status): "
"""Before the words of a node that refuses."""

SCHEDULER_REASONS = (
    Reason(
        ASSIGNED_HERE,
        "The farm gave this job to this machine itself.",
        "See whether nodes are ready: farm status",
        says=("building myself, but telling localhost",),
    ),
    Reason(
        NO_SCHEDULER,
        "The scheduler does not answer, so iceccd kept the job here.",
        "On the farm's server: farm status, farm logs scheduler",
    ),
    Reason(
        NOT_LOGGED_IN,
        "This machine's iceccd is not logged in to the farm's scheduler.",
        "Wait a minute after a restart; then see that its netname and scheduler are the farm's.",
    ),
    Reason(
        NO_ELIGIBLE_NODE,
        "No node can take this job.",
        "What keeps each node from it is listed; farm status shows them all.",
    ),
    Reason(
        PREFERRED_ABSENT,
        "ICECC_PREFERRED_HOST names a node that is not there or takes no jobs.",
        "Unset it: unset ICECC_PREFERRED_HOST",
    ),
    Reason(
        OWN_SLOT,
        "This machine's iceccd has slots of its own, and the scheduler chose one: nodes were busy, or it was its turn.",
        "Nothing is wrong. To have nodes compile all that they can, start this machine's iceccd with -m 0 (in Debian's "
        "icecc.conf, ICECC_MAX_JOBS=0 means 1): what has to be done here, such as linking, is then done one at a time.",
    ),
    Reason(
        NODES_BUSY,
        "All nodes were busy and this machine had a free slot.",
        "Nothing is wrong; with more nodes it would have gone out.",
    ),
    Reason(
        PASSED_OVER,
        "Nodes look free, but the scheduler gave this job to none.",
        "It may be unable to connect to the nodes' TCP port 10245, or they could not run this compiler before: then "
        "they are asked again when their iceccd logs in anew.",
    ),
)

NODE_REASONS = (
    Reason(
        "node-unreachable",
        "The node that the scheduler chose could not be reached within ten seconds.",
        "See that this machine may connect to the node's TCP port 10245.",
        says=(error(2),),
    ),
    Reason(
        "environment-not-sent",
        "The compiler's environment could not be sent to the node.",
        "Look at the network between here and the node.",
        says=(error(6), error(8), error(22)),
    ),
    Reason(
        "environment-gone",
        "The node no longer has the compiler's environment, or it lacks parts.",
        "Make it again (icecc-create-env), or unset ICECC_VERSION so that iceccd makes it.",
        says=(
            LOOK_AT_STATUS + r".* is not executable.*",
            LOOK_AT_STATUS + "(?:verify_env: |empty environment|compiler did not start).*",
        ),
    ),
    Reason(
        "node-cannot-chroot",
        "The node's iceccd may not enter the compiler's environment.",
        "Start iceccd on the node as root.",
        says=(LOOK_AT_STATUS + r"(?:chdir to |chroot |cannot chroot|setgroups|setgid|setuid|UID is 0).*",),
    ),
    Reason(
        "node-tmp",
        "The node has no temporary folder that can be used.",
        "Look at the node's disk and memory: farm node show NODE",
        says=(LOOK_AT_STATUS + r"(?:can't write to /tmp|/tmp dir missing|could not create |open of object file).*",),
    ),
    Reason(
        "environment-install-failed",
        "The node could not unpack the compiler's environment.",
        "Check the archive (tar tf FILE) and the room on the node. To have iceccd make a new one: unset ICECC_VERSION",
        says=(error(25),),
    ),
    Reason(
        "environment-unusable",
        "The node cannot run what is in the compiler's environment; the scheduler asks it no more for this one.",
        "Check the archive: tar tf FILE must list bin/true, usr/bin/as and their libraries, for the node's processor. "
        "To have iceccd make a new one: unset ICECC_VERSION",
        says=(error(24, r"remote .* unable to handle environment.*"),),
    ),
    Reason(
        "environment-unverifiable",
        "ICECC_IGNORE_UNVERIFIED is set, and the node is too old to verify environments.",
        "Update icecream on the node, or unset ICECC_IGNORE_UNVERIFIED.",
        says=(error(26),),
    ),
    Reason(
        "node-lost-sending",
        "The connection to the node broke while the source was sent.",
        "See whether the node is still up: farm status",
        says=(error(9), error(12), error(15)),
    ),
    Reason(
        "node-lost",
        "The node was lost while it compiled, or took longer than twelve minutes.",
        "See whether the node is still up: farm status",
        says=(error(14), error(19)),
    ),
    Reason(
        "node-protocol",
        "The node answered something else than was asked.",
        "See that it runs the same version of icecream.",
        says=(error(13), error(20)),
    ),
    Reason(
        NODE_REFUSED,
        "The node refused the job; its own words are in the evidence.",
        "Look at the node: farm node show NODE",
        says=(error(23), LOOK_AT_STATUS + ".*"),
    ),
    Reason(
        "remote-out-of-memory",
        "The node had too little memory or disk for this file, or its compiler ended before it had read it.",
        "Give nodes fewer slots or more memory; a single huge file is best left here. Where it took a minute, the "
        "compiler does not run there: farm doctor --only environment",
        says=(error(101),),
    ),
    Reason(
        KILLED,
        "The compiler was killed on the node, most often for want of memory; icecc does not try it again.",
        "Give nodes fewer slots or more memory, and build again; this file alone, here: ICECC=disable COMMAND",
    ),
    Reason(
        FAILED,
        "The compiler ended with an error on the node; it tells why in its own words. "
        "If they are that a signal killed it, the node had too little memory.",
        "See whether it compiles here: ICECC=disable COMMAND. If it does: a file that only this machine has (.incbin, "
        ".include) must be named by its full path in the source and in ICECC_EXTRAFILES; a part of the compiler that "
        "is not there is found by farm doctor --only environment; options behind -Wp, reach the node's compiler, "
        "which may refuse them (write -MP in place of -Wp,-MP, and -MMD -MF FILE in place of -Wp,-MMD -Wp,FILE); "
        "warnings of clang about macros (with -Werror) go away with ICECC_REMOTE_CPP=1.",
        tries=("ICECC=disable", "ICECC_REMOTE_CPP=1"),
    ),
    Reason(
        REFUSED,
        "The compiler refuses this, here as well as on a node.",
        "Fix what the compiler complains of.",
    ),
    Reason(
        OUTPUT,
        "The compiler on the node said something, so icecc compiled here again: it warned, or it failed there.",
        "Fix what it warns of. If it shows no warning, only the node cannot compile this file; why is found out by: "
        f"{AGAIN}",
        says=(error(102),),
        tries=("ICECC_CARET_WORKAROUND=0",),
    ),
    Reason(
        HEADER_USED,
        "clang was given a precompiled header (-include-pch), which no node can use: what that holds is missing there.",
        "Include the header itself: -include HEADER in place of -include-pch HEADER.pch, or of -Xclang -include-pch "
        "-Xclang HEADER.pch. With CMake, where sources include what they need: -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON",
    ),
    Reason(
        FILE_MISSING,
        "The compiler on the node looked for a file that only this machine has.",
        "Name it by its full path in ICECC_EXTRAFILES, and in the source (.incbin) or the option as well.",
        says=(error(104),),
    ),
    Reason(
        "repeat-failed",
        "One of the repeated compilations that ICECC_REPEAT_RATE asks for failed.",
        "Unset it: unset ICECC_REPEAT_RATE",
        says=(error(27),),
    ),
    Reason(
        FELL_BACK,
        "The node did not compile it, so it was compiled here again.",
        "Look at the evidence: farm explain --last --evidence",
        says=("(?:got exception|local build forced by remote exception:) .*",),
    ),
)
