"""`packrat-server where`: says which mirrors have published a package file."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from packrat_core.errors import ConfigError
from packrat_core.text import printable, quote
from packrat_server.cli.package_source import ask_or_read, check_text, where_options
from packrat_server.cli.tables import json_option
from packrat_server.store.text import write_moment

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from packrat_server.client.uploader import Uploader

Places = list[dict[str, Any]]


@click.command("where")
@click.argument("file_name")
@json_option
@where_options
def where_command(file_name: str, as_json: bool, **where: Any) -> None:
    """Show which mirrors have published a package file, given its name.

    Lists the repositories of all mirrors that offer it. A mirror that runs an older agent, or the original one, reports
    nothing.
    """

    async def ask(uploader: "Uploader") -> Places:
        return await uploader.catalog.where(file_name)

    check_text("file_name", file_name)
    places = ask_or_read(where, ask, lambda connection: _read(connection, file_name))
    if not places:
        raise ConfigError(
            f"no repository of a mirror offers {quote(file_name)}",
            hint="check the spelling, its tags, and whether it failed or a newer version took its place",
        )
    if as_json:
        click.echo(json.dumps(places, indent=2, ensure_ascii=False))
        return
    several = Counter((place["mirror"], place["repo"]) for place in places)
    for place in places:
        # A repository has the file of a name once for each distribution version.
        distro = f" ({place['distro']})" if several[place["mirror"], place["repo"]] > 1 else ""
        click.echo(printable(f"{place['mirror']} {place['repo']}{distro}: {_describe(place)}"))


def _read(connection: "Connection", file_name: str) -> Places:
    from packrat_server.promotion.whereabouts import find_whereabouts

    return [
        {
            "mirror": place.mirror,
            "repo": place.repo,
            "distro": place.distro,
            "uri": f"/api/v2/Package/PackageFile:{place.file_id}:",
            "published": place.publication.is_there,
            "reported_at": write_moment(place.publication.reported_at),
        }
        for place in find_whereabouts(connection, file_name)
    ]


def _describe(place: Mapping[str, Any]) -> str:
    if place["published"] is False:
        return "not published yet"
    reported = f"reported at {str(place['reported_at'])[:19].replace('T', ' ')} UTC"
    if place["published"] is None:
        return f"not known: {reported}, and the journal doesn't go back to then"
    return f"published, as {reported}"
