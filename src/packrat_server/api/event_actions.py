"""The action that tells what happened to package files and packages."""

from typing import Any

from packrat_server.api.call import Call, read
from packrat_server.api.messages import CinpError
from packrat_server.store.events import EventFilter, read_events

_COUNT_LIMIT = 1000


async def history(call: Call) -> list[dict[str, Any]]:
    """List the events of a package, a file name or a package file, the oldest first, also of what was deleted."""
    given = call.arguments
    wanted = EventFilter(given["package"], given["file_name"], given["file"])
    if wanted == EventFilter():
        raise CinpError(400, {"package": "Required Paramater: give package, file_name or file"})
    after, count = given["after"] or 0, given["count"]
    if count is None or not 0 < count <= _COUNT_LIMIT:
        raise CinpError(400, {"count": f'Invalid Value "not an integer between 1 and {_COUNT_LIMIT}"'})
    return await read(call, lambda connection: read_events(connection, wanted, after, count))
