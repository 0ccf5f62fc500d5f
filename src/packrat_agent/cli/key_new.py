"""Makes a signing key that all clients accept: `packrat-agent key new`."""

from pathlib import Path
from urllib.parse import urlsplit

import click

from packrat_agent.cli.as_root import as_owner
from packrat_agent.cli.next_step import command_line
from packrat_agent.config.load import load
from packrat_agent.gpg.new_key import NewKey, make_key, make_single_key
from packrat_core.cli.tell_next import tell_next


def make_new(config_path: Path, name: str | None, kind: str, expires: str, *, without_subkey: bool) -> None:
    """Make a key in the keyring of the mirror, and print its fingerprint.

    Args:
        config_path: mirror.conf.
        name: The user id; None for the host of public_url, or the description of the mirror.
        kind: The algorithm, as gpg spells it.
        expires: When it expires, as gpg spells it.
        without_subkey: Let the primary key sign.

    Raises:
        PackratError: The key can't be made.
    """
    config = load(config_path)
    mirror = config.mirror
    make = make_single_key if without_subkey else make_key
    user = name or (urlsplit(mirror.public_url or "").hostname or mirror.description)

    def work() -> NewKey:
        return make(mirror.gnupg_home, mirror.passphrase_file, user, kind, expires)

    made = as_owner(config, work)
    click.echo(made.signing)
    click.echo(f"revocation certificate: {made.revocation}", err=True)
    backup = f"{command_line(config_path, 'key', 'backup', 'FILE')}, since the key exists nowhere else"
    if mirror.keys is None:
        tell_next(f"`gpg_sign_key: {made.signing}` in [mirror] of {config.source} signs with it; then {backup}")
    else:
        begin = command_line(config_path, "key", "rotate", "--begin", made.signing)
        tell_next(f"{begin} begins to replace the present key by it; then {backup}")
