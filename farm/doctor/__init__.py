"""`farm doctor`: ordered checks of a server, a developer's machine or a node, with evidence and fixes.

`check.py` is what a check is and how they are run, `place.py` which machine this is, `catalogue.py` all checks there
are; the rest are the checks themselves.
"""
