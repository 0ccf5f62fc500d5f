"""Bounds times of files: anyone who may write to a directory can put a file of any time there.

The nanoseconds of the year 2263 have more than 64 bits, as ext4 and XFS have them, and a tmpfs has years beyond 9999.
"""

import os

LATEST_S = 253_402_300_799
"""The last second of the year 9999, in epoch seconds: no HTTP date is later."""


def mtime_ns(status: os.stat_result) -> int:
    """Give the modification time in nanoseconds, folded into the 64 bits that the state database has for it."""
    return (status.st_mtime_ns + (1 << 63)) % (1 << 64) - (1 << 63)


def mtime_s(status: os.stat_result) -> int:
    """Give the modification time in whole epoch seconds, from 1970 to the end of 9999 whatever it is."""
    return min(max(status.st_mtime_ns // 1_000_000_000, 0), LATEST_S)
