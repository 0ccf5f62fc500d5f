"""Keeps the records in SQLite or PostgreSQL, and the package files on disk.

`tables.py` has the tables, `journal.py` what changed.
"""
