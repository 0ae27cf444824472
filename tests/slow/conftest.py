"""What slow tests share with those that boot a lab."""

from tests.clean_machine import clean_machine
from tests.e2e.conftest import lab

__all__ = ["clean_machine", "lab"]
