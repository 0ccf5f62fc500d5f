"""Reads wheels and source distributions. `inspect.py` says what a file is, `payload.py` checks it."""
