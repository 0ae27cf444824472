"""`python -m farm.doctor [PAGE]`: print the table of codes, or write it into a page of the documentation."""

from __future__ import annotations

import sys
from pathlib import Path

from farm.doctor.code_table import replaced, section


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    if not argv:
        sys.stdout.write(section() + "\n")
        return 0
    page = Path(argv[0])
    page.write_text(replaced(page.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
