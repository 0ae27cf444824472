"""Prints the tables of docs/explain.md."""

import sys

from farm.workstation.explain.reasons import as_markdown

sys.stdout.write(as_markdown())
