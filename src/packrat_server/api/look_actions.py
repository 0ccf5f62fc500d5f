"""Actions that look at package files and packages: find, show, list and compare; additions to the original API.

Each answers with the records that the commands of the same name print as JSON.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from packrat_server.api.call import Call, read
from packrat_server.api.messages import CinpError
from packrat_server.promotion.compare import compare
from packrat_server.promotion.find_files import find_files, show_files
from packrat_server.promotion.list_packages import list_packages, show_package
from packrat_server.promotion.questions import FOUND_LIMIT, STATES, Comparison, FileQuery, Found, NoSuchName


async def find(call: Call) -> dict[str, Any]:
    """Find package files."""
    given = call.arguments
    state = given["state"] or ""
    if state and state not in STATES:
        raise CinpError(400, {"state": f'Invalid Value "{state[:100]}": give one of {", ".join(STATES)}'})
    query = FileQuery(
        given["name"] or "",
        given["package"] or "",
        given["tag"] or "",
        given["distroversion"] or "",
        state,
        _limit(call),
    )
    return await _answer(call, lambda connection: find_files(connection, query))


async def show(call: Call) -> dict[str, Any]:
    """Show the package files of a name or URI, with the repositories that offer them."""
    name = call.arguments["name"] or ""
    return await _answer(call, lambda connection: Found(show_files(connection, name), more=False))


async def find_packages(call: Call) -> dict[str, Any]:
    """Find packages by the beginning of their name, or show the one of exactly that name."""
    name, limit = call.arguments["name"] or "", _limit(call)
    if call.arguments["exact"]:
        return await _answer(call, lambda connection: Found(show_package(connection, name), more=False))
    return await _answer(call, lambda connection: list_packages(connection, name, limit))


async def compare_sides(call: Call) -> dict[str, Any]:
    """Compare two tags or repositories."""
    given = call.arguments
    asked = Comparison(
        given["first"] or "", given["second"] or "", given["package"] or "", given["distroversion"] or "", _limit(call)
    )
    return await _answer(call, lambda connection: compare(connection, asked))


def _limit(call: Call) -> int:
    limit = call.arguments["limit"]
    if limit is None or not 1 <= limit <= FOUND_LIMIT:
        raise CinpError(400, {"limit": f'Invalid Value "{limit}": give 1 to {FOUND_LIMIT}'})
    return int(limit)


async def _answer(call: Call, query: Callable[[Connection], Found]) -> dict[str, Any]:
    try:
        found = await read(call, query)
    except NoSuchName as error:
        raise CinpError(400, {error.field: f'Invalid Value "{error}"'}) from None
    return {"records": found.records, "more": found.more}
