"""Reads, checks and describes `mirror.conf`. `settings.py` has the values, `fields.py` the keys."""
