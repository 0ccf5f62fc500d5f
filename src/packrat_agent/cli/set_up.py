"""Sets up a mirror step by step: what `packrat-agent init` does."""

import os
from pathlib import Path
from typing import Any

import click

from packrat_agent.cli.init_questions import ask, refuse_contradiction
from packrat_agent.config.load import load
from packrat_agent.config.settings import Config
from packrat_agent.setup.account import find_account, need_account
from packrat_agent.setup.answers import USER, try_conf
from packrat_agent.setup.new_mirror import NewMirror, ask_server, check_key, check_places, check_rights, check_unit
from packrat_agent.setup.outcome import describe_outcome, list_client_lines, list_next
from packrat_agent.setup.owner import find_owner
from packrat_agent.setup.steps import Step, has_synced, list_steps
from packrat_agent.setup.web_server import find_web_server
from packrat_core.cinp.failures import MIRROR_CONF, SettingNames
from packrat_core.cli.tell_next import tell_next
from packrat_core.errors import ConfigError, PackratError
from packrat_core.fs.open import open_given
from packrat_core.fs.ownership import explain_unread
from packrat_core.text import printable

_ANSWERS = SettingNames(
    "--server",
    "--ca-file",
    proxy="--proxy",
    name="--name",
    psk="--psk-file",
    login="--name and --psk-file",
)
"""As `init` asks for them, before mirror.conf is there."""


def set_up(config_path: Path, given: dict[str, Any]) -> None:
    """Set up a mirror, or go on where that stopped, and print what was made and what comes next.

    Args:
        config_path: mirror.conf, which is written unless it is there.
        given: The options of `init`, by name.

    Raises:
        PackratError: Something can't be used, or a step failed.
    """
    mirror = _read_mirror(config_path.absolute(), given)
    check_rights(mirror)
    check_places(mirror)
    check_unit(mirror)
    check_key(mirror)
    if not has_synced(mirror.config):
        view = ask_server(mirror.config, MIRROR_CONF if mirror.answers is None else _ANSWERS)
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
        PackratError: One failed; what was made before is named.
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
    """Read what to set up from mirror.conf if there is one, else from the options and the answers.

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
        config=config,
        answers=answers,
        user=given["user"] or (USER if answers is not None else _owner_of_state(config)),
        key_file=key_file,
        key_id="" if key_file is not None else named,
        web_server=find_web_server(given["web_server"], config.mirror),
        starts=not given["no_start"],
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
    if "/" not in named and not os.path.isfile(named):
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
