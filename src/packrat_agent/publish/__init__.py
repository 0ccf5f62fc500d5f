"""Signs, writes and scans the live tree, and collects its garbage.

Only `writer.py`, `pointers.py` and `gc.py` change what clients see.
"""
