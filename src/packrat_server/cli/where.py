"""`packrat-server where`: says which mirrors have published a package file."""

from pathlib import Path

import click

from packrat_core.errors import ConfigError
from packrat_core.text import quote
from packrat_server.cli.data_option import data_option
from packrat_server.promotion.whereabouts import find_whereabouts
from packrat_server.store.database import open_database, reading
from packrat_server.store.reports import Publication


@click.command("where")
@click.argument("file_name")
@data_option
def where_command(file_name: str, data: Path) -> None:
    """Say which mirrors have published a package file, by the name of the file.

    Lists the repositories of all mirrors that offer it. A mirror that runs an older agent, or the original one, reports
    nothing.
    """
    with reading(open_database(data)) as connection:
        found = list(find_whereabouts(connection, file_name))
    if not found:
        raise ConfigError(
            f"no repository of a mirror offers {quote(file_name)}",
            hint="check the spelling, its tags, and whether it failed or a newer version took its place",
        )
    for place in found:
        click.echo(f"{place.mirror} {place.repo}: {_describe(place.publication)}")


def _describe(publication: Publication) -> str:
    if publication.is_there is False:
        return "not published yet"
    reported = f"reported at {publication.reported_at:%Y-%m-%d %H:%M:%S} UTC"
    if publication.is_there is None:
        return f"not known: {reported}, and the journal doesn't go back to then"
    return f"published, as {reported}"
