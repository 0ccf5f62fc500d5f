"""Bounds inode numbers: the state database has 63 bits for them, and mergerfs and some NFS servers use all 64."""

import os

BITS = (1 << 63) - 1
"""What is kept of an inode number."""


def inode(status: os.stat_result) -> int:
    """Give the inode number, without its highest bit."""
    return status.st_ino & BITS
