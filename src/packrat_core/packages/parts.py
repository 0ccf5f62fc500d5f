"""Says in the message of a refusal which part of a package it is about."""

from collections.abc import Iterator
from contextlib import contextmanager

from packrat_core.errors import Refused


@contextmanager
def naming(part: str) -> Iterator[None]:
    """Turn "it is torn" into "its control archive is torn", for the part "its control archive".

    Raises: Refused, as raised inside, with the part named.
    """
    try:
        yield
    except Refused as error:
        text = str(error)
        raise Refused(f"{part} {text[3:]}" if text.startswith("it ") else f"{part}: {text}") from None
