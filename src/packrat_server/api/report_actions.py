"""Actions on what mirrors have published: a mirror reports it, users ask where a file is."""

import re
from typing import Any

from sqlalchemy import Connection

from packrat_server.api.call import Call, read, run_writer, writing_for
from packrat_server.api.description import uri
from packrat_server.api.messages import CinpError
from packrat_server.api.values import read_id
from packrat_server.promotion.whereabouts import find_whereabouts
from packrat_server.store.reports import Report, note_alive, save_reports
from packrat_server.store.text import write_moment

_LIMIT = 500
_POSITION = re.compile(r"[0-9]{1,15}-[0-9a-f]{1,16}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


async def report(call: Call) -> None:
    """Keep what a mirror says that it has published; this is a heartbeat, too."""
    published = call.arguments["published"] or []
    if len(published) > _LIMIT:
        raise CinpError(400, {"published": f'Invalid Value "more than {_LIMIT} repositories at once"'})
    reports = [_read(entry) for entry in published]
    mirror = call.id

    def work() -> None:
        with writing_for(call) as connection:
            note_alive(connection, mirror)
            save_reports(connection, mirror, reports)

    # Nobody waits for it, so this wakes nobody.
    await run_writer(call.context, work)


def _read(entry: dict[str, str]) -> Report:
    position, digest = entry.get("position", ""), entry.get("digest", "")
    for name, text, form in (("position", position, _POSITION), ("digest", digest, _DIGEST)):
        if not form.fullmatch(text):
            raise CinpError(400, {"published": f'Invalid Value "{name} {text[:50]!r}"'})
    try:
        repo = read_id("Repo/Repo", entry.get("repo"))
    except ValueError as error:
        raise CinpError(400, {"published": f'Invalid Value "{error}"'}) from None
    return Report(repo, position, digest)


async def where(call: Call) -> list[dict[str, Any]]:
    """List the repositories of mirrors that offer a file, with when each mirror reported that it is published."""

    def query(connection: Connection) -> list[dict[str, Any]]:
        return [
            {
                "mirror": uri("Repo/Mirror", place.mirror),
                "repo": uri("Repo/Repo", place.repo),
                "file": uri("Package/PackageFile", place.file_id),
                "distroversion": uri("Attrib/DistroVersion", place.distro),
                "published": place.publication.is_there,
                "reported_at": write_moment(place.publication.reported_at),
            }
            for place in find_whereabouts(connection, call.arguments["file_name"] or "")
        ]

    return await read(call, query)
