"""Makes sure that a change is carried out once, although its answer may be lost on the way."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from packrat_core.cinp.transport import NoAnswer

T = TypeVar("T")

_LOST_ANSWERS = 2
"""Of a connection that had been open for a while, and of a new one."""


async def carry_out_once(ask: Callable[[], Awaitable[T]], look: Callable[[], Awaitable[T | None]]) -> T:
    """Ask for a change, and make sure that it is carried out once even if answers are lost.

    A second request for the same change would be refused, or would make a second one.

    Args:
        ask: Asks for the change.
        look: Gives what `ask` would have given, or None where the change is not there.

    Raises:
        PackratError: Either of them failed.
    """
    for _ in range(_LOST_ANSWERS):
        try:
            return await ask()
        except NoAnswer:
            found = await look()
        if found is not None:
            return found
    return await ask()
