"""The options of commands that work through the API, and the session that these open."""

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

from packrat_core.errors import ConfigError, ServerRefused
from packrat_core.fs.open import read_given
from packrat_core.fs.ownership import explain_unread
from packrat_core.text import quote

if TYPE_CHECKING:
    from packrat_server.client.uploader import Uploader

T = TypeVar("T")

_PASSWORD_LIMIT = 64 * 1024

DEFAULT_URL = "http://127.0.0.1:8888"


def _check_url(_ctx: click.Context, _param: click.Parameter, url: str | None) -> str | None:
    """Check the address of a server; what is wrong would fail later in words of the network."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or "@" in parts.netloc or parts.query or parts.fragment:
        # Not what was given if it may hold a password.
        given = "what is given" if "@" in url else quote(url[:100])
        raise ConfigError(
            f"--url: {given} is not the address of a server",
            hint="give http:// or https:// with its name, and its port if it has one of its own, such as "
            "https://packrat.example.com; the user goes into --user",
        )
    return url


def session_options(default_url: str | None, url_help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make the decorator that adds --url, --user, --password-file and --ca-file to a command.

    Args:
        default_url: The server where none is named; None for none.
        url_help: What --url means.
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option(
                "--ca-file",
                type=click.Path(path_type=Path, readable=False),
                envvar="PACKRAT_CA_FILE",
                show_envvar=True,
                help="Trust the certificate authorities of this PEM file for https, in place of the system's.",
            ),
            click.option(
                "--password-file",
                type=click.Path(path_type=Path, readable=False),
                help="A file with the password; by default it is taken from PACKRAT_PASSWORD, or asked for.",
            ),
            click.option(
                "--user",
                default="admin",
                show_default=True,
                envvar="PACKRAT_USER",
                show_envvar=True,
                help="The user who logs in.",
            ),
            click.option(
                "--url",
                default=default_url,
                show_default=default_url is not None,
                envvar="PACKRAT_URL",
                callback=_check_url,
                show_envvar=True,
                help=url_help,
            ),
        ):
            command = option(command)
        return command

    return add


of_a_session = session_options(DEFAULT_URL, "The server.")


def with_session(session: dict[str, Any], work: "Callable[[Uploader], Awaitable[T]]") -> T:
    """Log in and do something in the session.

    Args:
        session: The options of `session_options`, by name.
        work: What to do.

    Raises:
        ConfigError: The password or the certificates can't be read.
        ServerRefused: The server refuses the user or the work, or the session ended.
    """
    # Commands that may read the database instead don't wait for what speaks HTTP.
    import asyncio

    from packrat_core.cinp.refusals import SessionEnded
    from packrat_server.client.uploader import signed_in

    password = _password(session["password_file"], session["user"])

    async def do() -> T:
        async with signed_in(session["url"], session["user"], password, session["ca_file"]) as uploader:
            return await work(uploader)

    try:
        return asyncio.run(do())
    except SessionEnded:
        raise ServerRefused(
            f"the session of {session['user']} was ended, since an administrator changed the user",
            hint="repeat the command: what is done already stays",
        ) from None


def _password(path: Path | None, user: str) -> str:
    if path is not None:
        try:
            return read_given(path, _PASSWORD_LIMIT).decode().strip()
        except OSError as error:
            raise ConfigError(
                f"--password-file {path} can't be read: {explain_unread(path, error)}",
                hint="give a text file that this user may read",
            ) from None
        except UnicodeDecodeError:
            raise ConfigError(f"--password-file {path} is not text", hint="give a text file, in UTF-8") from None
    if given := os.environ.get("PACKRAT_PASSWORD"):
        return given
    try:
        return str(click.prompt(f"Password of {user}", hide_input=True, err=True))
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise ConfigError(
            f"there is no password of {user}", hint="set PACKRAT_PASSWORD, or name a file with --password-file"
        ) from None
