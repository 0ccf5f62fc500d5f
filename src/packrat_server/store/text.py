"""Tells which text a database can hold.

Takes: text from outside.
Gives: whether it can be stored.
Touches: nothing.
"""


def is_storable(text: str) -> bool:
    """Whether it is without NUL, which PostgreSQL refuses, and without half characters, which are no UTF-8."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
