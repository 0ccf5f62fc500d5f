"""Prints public keys as they are published: `packrat-agent key export`."""

from pathlib import Path

import click

from packrat_agent.cli.as_root import as_owner
from packrat_agent.config.load import load
from packrat_agent.gpg.signing_key import PublicKey
from packrat_agent.sync.keys.find_keys import find_keys
from packrat_core.errors import ConfigError


def export(config_path: Path, section: str, *, binary: bool) -> None:
    """Print the public key of a section, in a rotation with the others that clients need.

    Args:
        config_path: mirror.conf.
        section: The section whose key it is.
        binary: Print it as it stands in a .gpg file, not armored.

    Raises:
        PackratError: The section has no key, or it can't be read.
    """
    config = load(config_path)
    if section not in config.all_keys:
        raise ConfigError(f"[{section}] of {config.source} has no gpg_sign_key", hint="see `packrat-agent key show`")

    def work() -> PublicKey:
        keys = find_keys(config)
        prepared = keys.main if section == "mirror" else keys.of_sections[section]
        assert prepared is not None
        return prepared.public

    public = as_owner(config, work)
    click.echo(public.binary if binary else public.armored, nl=False)
