"""Brings repositories up to date.

`full_sync.py` has the order of a full sync, `repo_sync.py` the steps of one repository.
"""
