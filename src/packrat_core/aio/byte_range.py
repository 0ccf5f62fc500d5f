"""Chooses the bytes of a file to send: one range, or the whole file where no range is asked for that can be sent alone.

Source: RFC 9110, 14.2 (Range) and 13.1.5 (If-Range).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

# Some clients name the largest number of 64 bits as the end; Python takes long for very long numbers.
_RANGE = re.compile(r"bytes=([0-9]{0,20})-([0-9]{0,20})")


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes to send of a file of `size` bytes; `asked` says whether the client asked for a range of them."""

    start: int
    length: int
    size: int
    asked: bool

    @property
    def content_range(self) -> str:
        """The value of Content-Range."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{self.size}"


def choose_part(
    method: str, asked: str | None, if_range: str | None, validators: Sequence[str], size: int
) -> Part | None:
    """Choose what to send of a file.

    A range that is none, a list of ranges, a range of another state of the file, and any method but GET get the whole
    file.

    Args:
        method: The method of the request; HTTP defines ranges for GET alone.
        asked: The header Range.
        if_range: The header If-Range.
        validators: The ETag of the file, and its Last-Modified.
        size: The number of bytes that it has.

    Returns:
        The part; None if the range is beyond the end of the file.
    """
    whole = Part(0, size, size, asked=False)
    match = _RANGE.fullmatch(asked or "") if method == "GET" else None
    if match is None or not (match[1] or match[2]):
        return whole
    if if_range is not None and if_range not in validators:
        return whole
    if not match[1]:
        length = min(int(match[2]), size)
        return Part(size - length, length, size, asked=True) if length else None
    start, end = int(match[1]), min(int(match[2]), size - 1) if match[2] else size - 1
    if start >= size:
        return None
    return Part(start, end - start + 1, size, asked=True) if start <= end else whole
