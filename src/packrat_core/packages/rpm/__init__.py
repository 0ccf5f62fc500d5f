"""Reads rpm packages.

`inspect.py` says what a file is, `rules.py` what clients refuse, `payload.py` checks the rest.
"""
