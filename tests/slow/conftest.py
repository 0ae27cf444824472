"""What slow tests share with those that boot a lab."""

from tests.e2e.conftest import lab

__all__ = ["lab"]
