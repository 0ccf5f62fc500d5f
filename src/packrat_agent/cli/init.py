"""`packrat-agent init`: sets up a mirror, from the user and the key to the first sync and the site file."""

import os
from pathlib import Path
from typing import Any

import click

from packrat_agent.cli.config_option import config_option
from packrat_agent.cli.init_questions import ask, refuse_contradiction
from packrat_agent.config.load import load
from packrat_agent.config.settings import Config
from packrat_agent.setup.account import find_account, need_account
from packrat_agent.setup.answers import ROOT_DIR, STATE_DIR, USER, try_conf
from packrat_agent.setup.new_mirror import NewMirror, ask_server, check_key, check_places, check_rights
from packrat_agent.setup.outcome import describe_outcome, list_client_lines, list_next
from packrat_agent.setup.owner import find_owner
from packrat_agent.setup.steps import Step, has_synced, list_steps
from packrat_agent.setup.web_server import find_web_server
from packrat_core.cli import tell_next
from packrat_core.errors import ConfigError, PackratError
from packrat_core.fs.open import open_given
from packrat_core.fs.ownership import explain_unread
from packrat_core.text import printable

_PATH = click.Path(path_type=Path, readable=False)


@click.command("init")
@click.option("--server", help="The packrat server: a host name, or a URL.")
@click.option("--name", help="This mirror's name on the packrat server.")
@click.option(
    "--psk-file",
    type=_PATH,
    help="A file with the mirror's psk, `-` for stdin; an empty one for no psk.",
)
@click.option("--public-url", help="The address at which clients will reach this mirror.")
@click.option(
    "--key",
    metavar="FILE|ID",
    help="Sign with this secret key: a file, or the id of a key in the keyring. By default a key is made.",
)
@click.option("--no-key", is_flag=True, help="Sign nothing.")
@click.option("--passphrase-file", type=_PATH, help="Holds the passphrase of the key.")
@click.option(
    "--root-dir",
    type=_PATH,
    help=f"Where to build repositories.  [default: {ROOT_DIR}]",
)
@click.option(
    "--state-dir",
    type=_PATH,
    help=f"Where to keep state and keyring.  [default: {STATE_DIR}]",
)
@click.option("--user", help=f"The user that the agent runs as.  [default: {USER}]")
@click.option("--proxy", help="The HTTP proxy by which the packrat server is reached.")
@click.option(
    "--ca-file",
    type=_PATH,
    help="CA certificates to trust for the packrat server.",
)
@click.option(
    "--web-server",
    type=click.Choice(["auto", "nginx", "apache", "none"]),
    default="auto",
    show_default=True,
    help="Which web server gets a site file.",
)
@click.option("--no-start", is_flag=True, help="Don't start the service.")
@click.option("--dry-run", is_flag=True, help="Show what would be made; change nothing.")
@config_option
@click.pass_obj
def init_command(config_path: Path, /, **given: Any) -> None:
    """Set up a mirror: user, directories, key, mirror.conf, first sync, site file, service.

    It asks for the packrat server, the mirror's name and psk there, and the address for clients, unless they are given
    as options. What can't work is refused before anything is changed. What exists already stays: after an error, run it
    again, and it continues.
    """
    mirror = _read_mirror(config_path.absolute(), given)
    check_rights(mirror)
    check_places(mirror)
    check_key(mirror)
    if not has_synced(mirror.config):
        view = ask_server(mirror.config)
        shown = ", ".join(printable(repo.name) for repo in view.repos) or "no repositories yet"
        click.echo(f"server   {mirror.config.packrat.url} offers mirror {mirror.config.packrat.name}: {shown}")
    steps = list_steps(mirror)
    if given["dry_run"]:
        for step in steps:
            click.echo(f"{'in place' if step.is_done() else 'to make '} {step.what}")
        click.echo("nothing was changed", err=True)
        tell_next("the same command without --dry-run does it")
        return
    _take(steps)
    mirror = _read_mirror(config_path.absolute(), {**given, "psk_file": None, "key": None, "no_key": False})
    click.echo()
    account = need_account(mirror.user)
    for line in describe_outcome(mirror, list_client_lines(account, mirror.config)):
        click.echo(printable(line))
    for line in list_next(mirror):
        tell_next(line)


def _take(steps: list[Step]) -> None:
    """Take the steps that are not done, and tell of each.

    Raises:
        PackratError: One failed; what was made before is told.
    """
    made: list[str] = []
    for step in steps:
        if step.is_done():
            click.echo(f"in place {step.what}")
            continue
        try:
            step.do()
        except PackratError:
            done = f"made before it: {', '.join(made)}" if made else "nothing was made before it"
            click.echo(f"init stopped at: {step.what}; {done}; run it again to go on from there", err=True)
            raise
        click.echo(f"made     {step.what}")
        made.append(step.what)


def _read_mirror(path: Path, given: dict[str, Any]) -> NewMirror:
    """Read what is to be set up from mirror.conf where it is there, else from the options and the answers.

    Raises:
        ConfigError: Something can't be used, an answer is missing, or an option contradicts mirror.conf.
    """
    answers = None
    if _may_be_there(path):
        config = load(path)
        refuse_contradiction(config, given)
    else:
        answers = ask(given)
        draft = try_conf(answers, path)
        config = Config(draft.packrat, draft.mirror, path, draft.section_keys)
    named = given["key"] or ""
    key_file = _find_key_file(named)
    return NewMirror(
        config,
        answers,
        given["user"] or (USER if answers is not None else _owner_of_state(config)),
        key_file,
        "" if key_file is not None else named,
        find_web_server(given["web_server"], config.mirror),
        not given["no_start"],
    )


def _may_be_there(path: Path) -> bool:
    """Tell whether mirror.conf is there, or can't be: `load` says why."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _find_key_file(named: str) -> Path | None:
    """Find the file that --key names; None where it names no file, but a key.

    Raises:
        ConfigError: It can only be a file, and there is none, or it can't be read.
    """
    # Unlike Path.is_file, this raises nothing.
    if "/" not in named and not os.path.isfile(named):  # noqa: PTH113
        return None
    path = Path(named).absolute()
    try:
        open_given(path).close()
    except FileNotFoundError:
        raise ConfigError(f"there is no key file {named}", hint="give another --key") from None
    except OSError as error:
        raise ConfigError(
            f"the key file {named} can't be read: {explain_unread(path, error)}", hint="give another --key"
        ) from None
    return path


def _owner_of_state(config: Config) -> str:
    """Name the user of a mirror that is there; the usual one where nothing of it is."""
    owner = find_owner(config) if os.path.lexists(config.mirror.state_db.parent) else None
    if owner is None or (owner.uid == 0 and find_account(USER) is None):
        return USER
    return owner.name
