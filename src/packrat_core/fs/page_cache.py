"""Reads files and leaves the page cache as it was, since that holds what clients download.

    with open_unbuffered(path) as file:
        for chunk in read_sparingly(file.fileno(), size):
            digest.update(chunk)

Pages that were cached before the file was read stay. All others are dropped as soon as they were read, also if only
some pages of the file were cached. The kernel doesn't say which pages of somebody else's file are cached; such a file
is read like any other, and its pages stay. So do those of a file of more than 64 GiB of which some were cached.

Source: mincore(2), posix_fadvise(2); cachestat in the kernel's include/uapi/linux/mman.h.
"""

import ctypes
import mmap
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress

CHUNK_BYTES = 1024 * 1024
"""Bytes that are read at once: small, so that a rate can be kept, and that few pages are there for nobody."""

_PAGES_LIMIT = 1 << 24
"""Pages of a file of which it is asked which are cached: with a byte for each, a sparse file would fill the memory."""
_NOREUSE = 5
_CACHESTAT = 451
_CACHESTAT_BYTES = 5 * 8
_WHOLE_FILE = bytes(2 * 8)
"""An offset and a length of 0."""
_FAILED = ctypes.c_void_p(-1).value
_UNCACHED = re.compile(rb"\0+")
_ODD = bytes(number & 1 for number in range(256))
"""Only the lowest bit of what mincore says is defined."""

# PyDLL keeps the interpreter's lock. None of these calls waits, and many threads that hand over the lock for a
# microsecond of work each are slower than one.
_libc = ctypes.PyDLL(None)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
_libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
_libc.syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)


def read_sparingly(descriptor: int, size: int) -> Iterator[bytes]:
    """Read an open regular file from its beginning to its end, in chunks.

    Args:
        descriptor: The open file; its position doesn't matter, and stays.
        size: What fstat says. If the file has grown since, the rest is read, too.

    Yields:
        The bytes, up to `CHUNK_BYTES` at a time.

    Raises:
        OSError: The file can't be read.
    """
    uncached: Sequence[tuple[int, int]] = find_uncached(descriptor, size)
    if uncached:
        # A page that is read once must not look as if a client used it.
        with suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, _NOREUSE)
    at = 0
    # One byte more than there should be, so that a small file and its end take one call.
    while chunk := os.pread(descriptor, min(CHUNK_BYTES, max(size - at, 0) + 1), at):
        at += len(chunk)
        yield chunk
        uncached = _drop(descriptor, uncached, at)
        if at == size and len(chunk) < CHUNK_BYTES:
            break


def _drop(descriptor: int, uncached: Sequence[tuple[int, int]], to: int) -> Sequence[tuple[int, int]]:
    """Drop what was read up to a byte of parts that were not cached; return the parts that are not read to their end.

    A part is dropped from its beginning each time, since the kernel keeps larger units of which one end is named.
    """
    for number, (start, end) in enumerate(uncached):
        if start >= to:
            return uncached[number:]
        with suppress(OSError):
            os.posix_fadvise(descriptor, start, min(end, to) - start, os.POSIX_FADV_DONTNEED)
        if end > to:
            return uncached[number:]
    return ()


def find_uncached(descriptor: int, size: int) -> list[tuple[int, int]]:
    """Return the parts of a file that are not in the page cache: first byte, and the byte after the last.

    Args:
        descriptor: An open regular file.
        size: Its size in bytes.
    """
    pages = -(-size // mmap.PAGESIZE)
    cached_pages = _count_cached(descriptor)
    if cached_pages == 0:
        return [(0, size)] if size else []
    if cached_pages == pages or size == 0 or pages > _PAGES_LIMIT:
        return []
    address = _libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    if address == _FAILED:
        return []
    try:
        cached = ctypes.create_string_buffer(pages)
        if _libc.mincore(address, size, cached) != 0:
            return []
    finally:
        _libc.munmap(address, size)
    return [
        (match.start() * mmap.PAGESIZE, min(match.end() * mmap.PAGESIZE, size))
        for match in _UNCACHED.finditer(cached.raw.translate(_ODD))
    ]


def _count_cached(descriptor: int) -> int | None:
    """Count the cached pages of a file by one call, which Linux has since 6.5; None if it can't be found out."""
    counts = ctypes.create_string_buffer(_CACHESTAT_BYTES)
    if _libc.syscall(_CACHESTAT, descriptor, _WHOLE_FILE, counts, 0) != 0:
        return None
    return int.from_bytes(counts.raw[:8], sys.byteorder)
