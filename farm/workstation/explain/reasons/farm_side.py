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
LOST_SENDING, LOST = "node-lost-sending", "node-lost"
WITHDRAWN = "slot-withdrawn"

LOOK_AT_STATUS = r"(?:Remote status \(compiled on [^)]*\)|remote status): "
"""Before the words of a node that refuses."""

SCHEDULER_REASONS = (
    Reason(
        ASSIGNED_HERE,
        "The farm gave this job to this machine itself.",
        "Check whether nodes are ready: farm status",
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
        "After a restart wait a minute; then check that its netname and scheduler are the farm's.",
    ),
    Reason(
        NO_ELIGIBLE_NODE,
        "No node can take this job.",
        "See the reason for each node below; farm status shows all nodes.",
    ),
    Reason(
        PREFERRED_ABSENT,
        "ICECC_PREFERRED_HOST names a node that is not logged in or takes no jobs.",
        "Unset it: unset ICECC_PREFERRED_HOST",
    ),
    Reason(
        OWN_SLOT,
        "This machine's iceccd offers slots, and the scheduler chose one: nodes were busy, or it was this machine's "
        "turn.",
        "Nothing is wrong. To compile only on nodes, start this machine's iceccd with -m 0 (in Debian's icecc.conf, "
        "ICECC_MAX_JOBS=0 means 1); local jobs such as linking then run one at a time.",
    ),
    Reason(
        NODES_BUSY,
        "All nodes were busy and this machine had a free slot.",
        "Nothing is wrong; with more nodes, the job would have been sent to one.",
    ),
    Reason(
        PASSED_OVER,
        "Nodes look free, but the scheduler gave this job to none.",
        "Check that the scheduler can connect to the nodes' TCP port 10245, and to 10246 where people sit at a node. "
        "If the nodes could not run this compiler "
        "before, the scheduler uses them again only after their iceccd has logged in again.",
    ),
)

NODE_REASONS = (
    Reason(
        "node-unreachable",
        "The node that the scheduler chose could not be reached within ten seconds.",
        "Check that this machine can connect to the node's TCP port 10245, and to 10246 where people sit at the node.",
        says=(error(2),),
    ),
    Reason(
        "environment-not-sent",
        "The compiler's environment could not be sent to the node.",
        "Check the network between this machine and the node.",
        says=(error(6), error(8), error(22)),
    ),
    Reason(
        "environment-gone",
        "The compiler's environment on the node is missing or incomplete.",
        "Make it again (icecc-create-env), or unset ICECC_VERSION so that iceccd makes it.",
        says=(
            LOOK_AT_STATUS + r".* is not executable.*",
            LOOK_AT_STATUS + "(?:verify_env: |empty environment|compiler did not start).*",
        ),
    ),
    Reason(
        "node-cannot-chroot",
        "The node's iceccd cannot enter the compiler's environment (chroot).",
        "Start iceccd on the node as root.",
        says=(LOOK_AT_STATUS + r"(?:chdir to |chroot |cannot chroot|setgroups|setgid|setuid|UID is 0).*",),
    ),
    Reason(
        "node-tmp",
        "The node has no usable temporary folder.",
        "Check the node's memory: farm node show NODE",
        says=(LOOK_AT_STATUS + r"(?:can't write to /tmp|/tmp dir missing|could not create |open of object file).*",),
    ),
    Reason(
        "environment-install-failed",
        "The node could not unpack the compiler's environment.",
        "Check the archive (tar tf FILE) and the free space on the node. To let iceccd make a new one: unset "
        "ICECC_VERSION",
        says=(error(25),),
    ),
    Reason(
        "environment-unusable",
        "The node cannot run the compiler's environment, and the scheduler no longer uses the node for it.",
        "Check the archive: tar tf FILE must list bin/true, usr/bin/as and their libraries, for the node's "
        "processor. To let iceccd make a new one: unset ICECC_VERSION",
        says=(error(24, r"remote .* unable to handle environment.*"),),
    ),
    Reason(
        "environment-unverifiable",
        "ICECC_IGNORE_UNVERIFIED is set, and the node is too old to verify environments.",
        "Update icecream on the node, or unset ICECC_IGNORE_UNVERIFIED.",
        says=(error(26),),
    ),
    Reason(
        LOST_SENDING,
        "The connection to the node was lost while the source was sent.",
        "Check whether the node is still up: farm status",
        says=(error(9), error(12), error(15)),
    ),
    Reason(
        LOST,
        "The node was lost while it compiled, or took longer than twelve minutes.",
        "Check whether the node is still up: farm status",
        says=(error(14), error(19)),
    ),
    Reason(
        WITHDRAWN,
        "The job waited for a spare slot of a machine at which somebody sat down, so it was compiled here.",
        "Nothing is wrong. If nobody has sat down there, check whether the machine is still up: farm status",
    ),
    Reason(
        "node-protocol",
        "The node sent an unexpected answer.",
        "Check that the node runs the same version of icecream.",
        says=(error(13), error(20)),
    ),
    Reason(
        NODE_REFUSED,
        "The node refused the job; its message is in the evidence.",
        "Look at the node: farm node show NODE",
        says=(error(23), LOOK_AT_STATUS + ".*"),
    ),
    Reason(
        "remote-out-of-memory",
        "The node had too little memory or disk space for this file, or its compiler ended before it had read the "
        "file.",
        "Give nodes fewer slots or more memory; a single huge file is best compiled here. If it took a minute, the "
        "compiler does not run on the node: farm doctor --only environment",
        says=(error(101),),
    ),
    Reason(
        KILLED,
        "The compiler was killed on the node, usually because of too little memory; icecc does not try again.",
        "Give nodes fewer slots or more memory, and build again. To compile only this file here: ICECC=disable COMMAND",
    ),
    Reason(
        FAILED,
        "The compiler failed on the node; see its own message. If a signal killed it, the node had too little memory.",
        "Check whether the file compiles here: ICECC=disable COMMAND. If it does: a file that only this machine has "
        "(.incbin, "
        ".include) must be named by its full path in the source and in ICECC_EXTRAFILES; farm doctor --only "
        "environment finds missing parts of the compiler; options behind -Wp, reach the node's compiler, "
        "which may refuse them (write -MP instead of -Wp,-MP, and -MMD -MF FILE instead of -Wp,-MMD -Wp,FILE); "
        "clang's warnings about macros (with -Werror) disappear with ICECC_REMOTE_CPP=1.",
        tries=("ICECC=disable", "ICECC_REMOTE_CPP=1"),
    ),
    Reason(
        REFUSED,
        "The compiler reports an error, here as well as on a node.",
        "Fix the error that the compiler reports.",
    ),
    Reason(
        OUTPUT,
        "The compiler on the node gave a warning or an error, so icecc compiled here again.",
        f"Fix the warning. If there is none, only the node cannot compile this file; to find out why: {AGAIN}",
        says=(error(102),),
        tries=("ICECC_CARET_WORKAROUND=0",),
    ),
    Reason(
        HEADER_USED,
        "clang uses a precompiled header (-include-pch), which no node can use.",
        "Include the header itself: -include HEADER instead of -include-pch HEADER.pch or -Xclang -include-pch "
        "-Xclang HEADER.pch. With CMake, if sources include all that they need: -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON",
    ),
    Reason(
        FILE_MISSING,
        "The compiler on the node needs a file that only this machine has.",
        "Use its full path in ICECC_EXTRAFILES, and also in the source (.incbin) or the option.",
        says=(error(104),),
    ),
    Reason(
        "repeat-failed",
        "One of the repeated compilations requested by ICECC_REPEAT_RATE failed.",
        "Unset it: unset ICECC_REPEAT_RATE",
        says=(error(27),),
    ),
    Reason(
        FELL_BACK,
        "The node failed, so the file was compiled here again.",
        "Look at the evidence: farm explain --last --evidence",
        says=("(?:got exception|local build forced by remote exception:) .*",),
    ),
)
