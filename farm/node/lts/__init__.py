"""lts.conf, the configuration of LTSP's clients: its grammars, which values a machine gets, which variables there are.

Server and node both use it, so nothing here imports more than the standard library. Nothing in such a file is run.
`reading.py` reads a file, `precedence.py` says what of it holds for a machine, `known.py` lists the variables.
"""
