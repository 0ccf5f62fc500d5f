"""Names the faulty part of a package in the message of a refusal."""

from collections.abc import Iterator
from contextlib import contextmanager

from packrat_core.errors import Refused


@contextmanager
def naming(part: str) -> Iterator[None]:
    """Turn "it is damaged" into "its control archive is damaged", if the part is "its control archive".

    Raises:
        Refused: it was raised inside; the message now names the part.
    """
    try:
        yield
    except Refused as error:
        text = error.message
        named = f"{part} {text[3:]}" if text.startswith("it ") else f"{part}: {text}"
        raise type(error)(named, hint=error.hint) from None
