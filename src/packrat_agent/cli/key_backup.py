"""Writes the secret keys that mirror.conf names into a file: `packrat-agent key backup`."""

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from packrat_agent.cli.as_root import as_owner
from packrat_agent.config.load import load
from packrat_agent.config.settings import Config
from packrat_agent.gpg.back_up import encrypt, export_secret
from packrat_agent.gpg.hints import GpgHints
from packrat_agent.gpg.keyring import find_parts
from packrat_core.cli.tell_next import tell_next
from packrat_core.errors import ConfigError, SigningError
from packrat_core.fs.atomic import write_whole


def back_up(config_path: Path, file: Path, passphrase_file: Path | None) -> None:
    """Write the secret keys into a file, and say how to restore them.

    Args:
        config_path: mirror.conf.
        file: Where to; nothing may be there.
        passphrase_file: Holds the passphrase that the backup is encrypted with; None for no encryption.

    Raises:
        PackratError: They can't be read or written.
    """
    config = load(config_path)
    target = file.absolute()
    # Unlike Path.resolve, this raises nothing where a link leads round in a circle.
    if Path(os.path.realpath(target)).is_relative_to(os.path.realpath(config.mirror.root_dir)):
        raise ConfigError(f"{file} lies in root_dir, where the web server would show it", hint="choose another place")
    if os.path.lexists(target):
        raise ConfigError(f"{file} exists already", hint="give another name, or move it away")
    _need_directory(target.parent)
    data = as_owner(config, lambda: _export_all(config))
    if passphrase_file is not None:
        data = encrypt(data, passphrase_file)
    write_whole(target, data, 0o600)
    hints, is_encrypted = GpgHints(config.mirror.gnupg_home), passphrase_file is not None
    # Without gnupg_home, it is the own keyring of that user.
    restore = as_owner(config, lambda: hints.import_keys(str(target), is_encrypted=is_encrypted))
    how = "encrypted" if passphrase_file is not None else "NOT encrypted, unless the keys have a passphrase"
    click.echo(f"{target}: {how}, mode 0600", err=True)
    click.echo(
        f"to restore: {restore}; the revocation certificates in it have a colon before their first line: take it away "
        "to use one",
        err=True,
    )
    tell_next("move it to a safe place off this machine, such as an encrypted disk in a drawer, and remove it here")


def _need_directory(directory: Path) -> None:
    """Refuse a directory that is not there: a disk may not be mounted, and secret keys would land beside it.

    Raises:
        ConfigError: It is not there.
    """
    try:
        directory.stat()
    except FileNotFoundError:
        raise ConfigError(
            f"there is no directory {directory}", hint="mount what should be there, or make it (`install -d -m 0700`)"
        ) from None
    except OSError:
        # Writing says why.
        return


def _export_all(config: Config) -> bytes:
    mirror, now = config.mirror, datetime.now(UTC)
    found: dict[str, str] = {}
    for names in config.all_keys.values():
        settings = [("gpg_sign_key", names.sign_key), ("gpg_next_key", names.next_key)]
        for setting, name in (*settings, ("gpg_former_key", names.former_key)):
            if name is not None:
                primary, signing = find_parts(setting, name, mirror.gnupg_home, now)
                found[signing] = primary
    if not found:
        raise SigningError(f"{config.source} names no key", hint="make one with `packrat-agent key new`")
    return export_secret(found, mirror.gnupg_home, mirror.passphrase_file)
