"""`python -m farm.daemon [--home DIR]`: run farmd."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from farm.daemon.watcher import run
from farm.errors import FarmError
from farm.errors.hints import speak_of
from farm.home import Home
from farm.printable import PrintableFormatter, printable_lines


def main() -> int:
    """Run it in the foreground; its log is standard error."""
    parser = argparse.ArgumentParser(prog="farmd", description="Watch a farm, and serve its state.")
    parser.add_argument("--home", type=Path, help="folder of the farm, as for `farm --home`")
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(asctime)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        home = Home.at(parser.parse_args().home)
        speak_of(home.options)
        asyncio.run(run(home))
    except FarmError as error:
        sys.stderr.write(f"farmd: {printable_lines(str(error))}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
