"""`python3 -m farm.node configure|agent|desk|doctor|message|logout [--root DIR]`: what a node runs of the farm."""

from __future__ import annotations

import sys


def main(argv: list[str]) -> int:
    """Run one of them; returns the exit code (2: called wrongly)."""
    if len(argv) == 3 and argv[1] == "--root":
        verb, root = argv[0], argv[2]
    elif len(argv) == 1:
        verb, root = argv[0], "/"
    else:
        verb, root = "", ""
    if verb == "configure":
        from farm.node import configure

        return configure.main(root)
    if verb == "agent":
        from farm.node import agent

        return agent.main(root)
    if verb == "desk":
        from farm.node.desk import keep_slots

        return keep_slots.main(root)
    if verb == "doctor":
        from farm.node import doctor

        return doctor.main(root)
    if verb in ("message", "logout"):
        from farm.node.session.on_screen import screen_orders

        return screen_orders.main(verb)
    sys.stderr.write("usage: python3 -m farm.node configure|agent|desk|doctor|message|logout [--root DIR]\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
