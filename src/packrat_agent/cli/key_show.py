"""Shows the keys that sign, what clients refuse of them, and how far a rotation has come."""

from datetime import UTC, datetime
from pathlib import Path

import click

from packrat_agent.cli.as_root import as_owner
from packrat_agent.cli.key_status import read_key_status
from packrat_agent.cli.next_step import command_line
from packrat_agent.config.load import load
from packrat_agent.config.settings import Config, KeyNames
from packrat_agent.gpg.key_warnings import warn
from packrat_agent.gpg.keyring import find_key
from packrat_agent.status.rotation import describe_phase
from packrat_core.cli.tell_next import tell_next
from packrat_core.errors import PackratError


def show_keys(config_path: Path) -> None:
    """Print the keys of each section of mirror.conf.

    Raises:
        PackratError: mirror.conf can't be used, or it is not clear whose mirror it is.
    """
    config = load(config_path)
    sections = config.all_keys
    if not sections:
        click.echo("no key is configured, so nothing is signed; make one with `packrat-agent key new`")
        return

    def look() -> dict[str, list[str]]:
        return {section: _describe(config, names) for section, names in sections.items()}

    rotates = False
    for section, lines in as_owner(config, look).items():
        rotation = _describe_rotation(config, section)
        rotates = rotates or bool(rotation)
        click.echo("\n".join([f"[{section}]", *lines, *rotation]))
    if rotates:
        tell_next(f"{command_line(config_path, 'key', 'rotate')} says what to do in this phase")


def _describe(config: Config, names: KeyNames) -> list[str]:
    lines: list[str] = []
    settings = [("gpg_sign_key", names.sign_key), ("gpg_next_key", names.next_key)]
    settings += [("gpg_former_key", names.former_key)]
    for setting, name in settings:
        if name is not None:
            lines += _describe_key(config, setting, name)
    return lines + [f"  gpg_retired_keys: {name}" for name in sorted(names.retired_keys)]


def _describe_rotation(config: Config, section: str) -> list[str]:
    noted = read_key_status(config, section)
    phase = describe_phase(noted, datetime.now(UTC).timestamp()) if noted is not None else None
    return [f"  rotation: {phase}"] if phase is not None else []


def _describe_key(config: Config, setting: str, name: str) -> list[str]:
    mirror, now = config.mirror, datetime.now(UTC)
    try:
        key = find_key(name, mirror.gnupg_home, mirror.passphrase_file, now, setting)
    except PackratError as error:
        return [f"  {setting}: {name}", f"    ! {error}"]
    until = f"expires on {key.expires:%Y-%m-%d}" if key.expires is not None else "never expires"
    lines = [f"  {setting}: {key.fingerprint}", f"    {key.algorithm} {key.bits}, {until}, {key.user}"]
    if key.primary != key.fingerprint:
        lines.append(f"    a subkey of {key.primary}")
    return lines + [f"    ! {text}" for text in warn(key, now)]
