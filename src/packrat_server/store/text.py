"""Tells which text a database can store."""


def is_storable(text: str) -> bool:
    """Whether a text has no NUL, which PostgreSQL refuses, and no half character, which is not valid UTF-8."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
