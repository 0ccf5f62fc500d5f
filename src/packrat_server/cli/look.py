"""`packrat-server find` and `diff`: look for package files, and compare tags or repositories."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from packrat_server.cli.package_source import filter_options, limit_option, look, tell_more, where_options
from packrat_server.cli.tables import json_option, show_list
from packrat_server.promotion.questions import Comparison, FileQuery, Found

if TYPE_CHECKING:
    from sqlalchemy import Connection

FILE_COLUMNS = ("file", "package", "version", "distro", "arch", "tags", "state")


def find_and_show(query: FileQuery, where: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the package files that fit.

    Args:
        query: What is looked for.
        where: Where to read.
        as_json: Print JSON.
    """

    def read(connection: "Connection") -> Found:
        from packrat_server.promotion.find_files import find_files

        return find_files(connection, query)

    asked = {
        "name": query.name,
        "package": query.package,
        "tag": query.tag,
        "distroversion": query.distro,
        "state": query.state,
        "limit": query.limit,
    }
    found = look(where, "find", asked, read)
    show_list(found.records, FILE_COLUMNS, as_json=as_json)
    tell_more(found, query.limit)


@click.command("find")
@click.argument("name")
@filter_options
@limit_option
@json_option
@where_options
def find_command(
    name: str, package: str, tag: str, distro: str, state: str | None, limit: int, as_json: bool, **where: Any
) -> None:
    """Find package files by their name, or that of their package.

    NAME is a package, the name of a file or its beginning, or a SHA-256. With `*` and `?` in it, which stand for any
    letters, case doesn't count.
    """
    find_and_show(FileQuery(name, package, tag, distro, state or "", limit), where, as_json=as_json)


@click.command("diff")
@click.argument("first")
@click.argument("second")
@click.option("--package", default="", help="Only this package.")
@click.option("--distro", default="", help="Only this distribution version.")
@limit_option
@json_option
@where_options
def diff_command(first: str, second: str, package: str, distro: str, limit: int, as_json: bool, **where: Any) -> None:
    """Show what only one of two tags or repositories has.

    For each package, distribution version and architecture that differs, it shows the versions that only one of them
    has. Files that are failed or deprocated don't count.
    """

    def read(connection: "Connection") -> Found:
        from packrat_server.promotion.compare import compare

        return compare(connection, asked)

    asked = Comparison(first, second, package, distro, limit)
    arguments = {"first": first, "second": second, "package": package, "distroversion": distro, "limit": limit}
    found = look(where, "compare", arguments, read)
    if as_json:
        click.echo(json.dumps(found.records, indent=2, ensure_ascii=False))
    else:
        only = {name: f"only in {name}" for name in (first, second)}
        rows = [
            {**group, **{head: [file["version"] for file in group["only"][name]] for name, head in only.items()}}
            for group in found.records
        ]
        show_list(rows, ("package", "distro", "arch", *only.values()), as_json=False)
    tell_more(found, limit, nothing=f"{first} and {second} have the same")
