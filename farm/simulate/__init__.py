"""A simulated farm: fake icecream daemons that log in to a real scheduler, which places their jobs.

For tests, benchmarks, demonstrations and pictures. What they do is planned from a seed (`plan.py`).
"""
