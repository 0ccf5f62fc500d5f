"""Keeps the memory of an agent small, also after months, and its garbage collector out of the way.

Source: mallopt(3), malloc_trim(3).
"""

import ctypes
import gc

_ARENA_MAX = -8
_THRESHOLDS = (10_000, 20, 50)


def be_sparing() -> None:
    """Prepare for a full sync, or many: to be called before any thread is started."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        # Each arena keeps what a thread once needed; work wanders from thread to thread, and an index is large.
        mallopt(_ARENA_MAX, 1)
    # All that the indexes name stays in memory; searching it for garbage again and again costs more than a publication.
    gc.set_threshold(*_THRESHOLDS)
    # The imported modules hold no garbage, either.
    gc.freeze()


def settle() -> None:
    """Leave what is held now out of later collections, and give back what large work needed."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
