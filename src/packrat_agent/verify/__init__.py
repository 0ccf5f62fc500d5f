"""Audits a tree as its clients read it, with readers of its own. Begin with `tree.py`."""
