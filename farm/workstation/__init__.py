"""A developer's machine: builds that compile on the farm."""
