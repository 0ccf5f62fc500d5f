"""The way of a package file: upload, tags, marks, the repositories that want it, and its removal.

`rules.py` says what may be tagged.
"""
