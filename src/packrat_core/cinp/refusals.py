"""Refusals and other answers of a server, told apart by what the caller does about them.

They need nothing that speaks HTTP, so commands that tell them apart import it only where they ask.
"""

from packrat_core.errors import ServerBroken, ServerRefused


class SessionEnded(ServerRefused):
    """The server no longer knows the session; log in again."""


class LoginRefused(ServerRefused):
    """The server refuses this mirror's name and psk, and does not show the mirror without them either."""


class NotFound(ServerRefused):
    """The server has no such object; `object_id` where it says which."""

    def __init__(
        self, message: str, object_id: str | None = None, *, by_api: bool = False, api_message: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, by_api=by_api, api_message=api_message, hint=hint)
        self.object_id = object_id


class TooMany(ServerBroken):
    """A list has more entries than the caller takes; `count` is what is known of their number, 0 for nothing."""

    def __init__(self, message: str, count: int = 0, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.count = count
