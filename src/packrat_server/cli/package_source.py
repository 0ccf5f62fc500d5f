"""The source that commands read package files from: the data directory on the server's machine, or the API.

1. With `--url`, or PACKRAT_URL in the environment, the server is asked, in the session of a user.
2. Otherwise the database of the data directory is read. `--data` on the command line comes before PACKRAT_URL.
3. Both give the same records.
"""

import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from packrat_core.cli.parameters import Between
from packrat_core.errors import ConfigError
from packrat_core.text import quote
from packrat_server.cli.data_option import DEFAULT_DATA, check_owner
from packrat_server.cli.session import session_options, with_session
from packrat_server.promotion.questions import FOUND_LIMIT, STATES, Found, NoSuchName
from packrat_server.store.text import is_storable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from packrat_server.client.uploader import Uploader

T = TypeVar("T")

_GIVEN_BY = {
    "package": "--package",
    "tag": "--tag",
    "distroversion": "--distro",
    "first": "FIRST",
    "second": "SECOND",
}
"""Argument of an action → what gives it on the command line."""
_session_options = session_options(None, "Ask this server, as a user, in place of reading the data directory.")
_data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, readable=False),
    default=DEFAULT_DATA,
    show_default=True,
    envvar="PACKRAT_DATA",
    help="Read this data directory, on the server's machine.",
)
limit_option = click.option(
    "--limit",
    type=Between(1, FOUND_LIMIT),
    default=200,
    show_default=True,
    help="Show at most this many.",
)


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which package files are meant: package, tag, distro and state."""
    for option in (
        click.option("--state", type=click.Choice(STATES), help="Only files in this state."),
        click.option("--distro", default="", help="Only files for this distribution version."),
        click.option("--tag", default="", help="Only files with this tag."),
        click.option("--package", default="", help="Only files of this package."),
    ):
        command = option(command)
    return command


def where_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where a command reads."""
    return _data_option(_session_options(command))


def look(
    where: Mapping[str, Any], action: str, arguments: Mapping[str, Any], read: "Callable[[Connection], Found]"
) -> Found:
    """Read records.

    Args:
        where: The options of `where_options`, by name.
        action: The action of the API that gives them.
        arguments: Its arguments.
        read: Reads the same from the database.

    Raises:
        ConfigError: Both places are named on the command line, or a name is wrong.
    """
    for field, value in arguments.items():
        if isinstance(value, str):
            check_text(field, value)
    try:
        return ask_or_read(where, lambda uploader: _ask(uploader, action, arguments), read)
    except NoSuchName as error:
        raise ConfigError(f"{_GIVEN_BY[error.field]}: {error.problem}", hint=error.hint) from None


def check_text(field: str, text: str) -> None:
    """Check that a name from the command line can be looked for.

    Raises:
        ConfigError: It holds bytes that are not text.
    """
    if not is_storable(text):
        raise ConfigError(f"{field}: {quote(text)} is not text in UTF-8, so nothing can have this name")


def ask_or_read(
    where: Mapping[str, Any],
    ask: "Callable[[Uploader], Awaitable[T]]",
    read: "Callable[[Connection], T]",
) -> T:
    """Ask the API, or read the database, as the command line says.

    Args:
        where: The options of `where_options`, by name.
        ask: Asks in a user's session.
        read: Reads the same from the database.

    Raises:
        ConfigError: Both places are named on the command line.
    """
    if _is_remote():
        return with_session(dict(where), ask)
    from packrat_server.store.database import open_database, reading

    check_owner(where["data"])
    with reading(open_database(where["data"])) as connection:
        return read(connection)


def tell_more(found: Found, limit: int, nothing: str = "nothing fits") -> None:
    """Say that nothing was found, or that there is more than was shown.

    Args:
        found: What was shown.
        limit: The limit that it kept to.
        nothing: What to say where nothing was found.
    """
    if not found.records:
        click.echo(nothing, err=True)
    if found.more:
        click.echo(f"the first {limit} are shown; name what you look for more closely, or raise --limit", err=True)
        sys.stderr.flush()


async def _ask(uploader: "Uploader", action: str, arguments: Mapping[str, Any]) -> Found:
    answer = await uploader.catalog.look(action, arguments)
    return Found(answer["records"], bool(answer.get("more")))


def _is_remote() -> bool:
    context = click.get_current_context()
    url, data = (context.get_parameter_source(name) for name in ("url", "data"))
    if url is ParameterSource.COMMANDLINE and data is ParameterSource.COMMANDLINE:
        raise ConfigError("--url and --data are both given", hint="give the one to read")
    return url is ParameterSource.COMMANDLINE or (
        url is ParameterSource.ENVIRONMENT and data is not ParameterSource.COMMANDLINE
    )
