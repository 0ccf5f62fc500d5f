"""`packrat-agent key`: shows, makes, replaces, exports and backs up the signing key."""

import os
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import click

from packrat_agent.cli.as_root import as_owner
from packrat_agent.cli.key_rotate import rotate_command
from packrat_agent.cli.key_status import read_noted
from packrat_agent.cli.next_step import command_line
from packrat_agent.config.load import load
from packrat_agent.config.settings import Config, KeyNames
from packrat_agent.gpg.back_up import encrypt, export_secret
from packrat_agent.gpg.hints import GpgHints
from packrat_agent.gpg.keyring import find_key, find_parts, warn
from packrat_agent.gpg.new_key import KINDS, NewKey, make_key, make_single_key
from packrat_agent.gpg.signing_key import PublicKey
from packrat_agent.status.rotation import tell_phase
from packrat_agent.sync.find_keys import find_keys
from packrat_core.cli import GivenFile, tell_next
from packrat_core.errors import ConfigError, SigningError
from packrat_core.fs.atomic import write_whole


@click.group("key")
def key_command() -> None:
    """Show, make, replace, export and back up the signing key.

    When root runs these commands, gpg runs as the agent's user.
    """


key_command.add_command(rotate_command)


@key_command.command("show")
@click.pass_obj
def show_command(config_path: Path) -> None:
    """Show the keys that sign, and what clients refuse.

    It also shows how far a rotation has come.
    """
    config = load(config_path)
    sections = _sections(config)
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
    noted = read_noted(config, section)
    phase = tell_phase(noted, datetime.now(UTC).timestamp()) if noted is not None else None
    return [f"  rotation: {phase}"] if phase is not None else []


def _describe_key(config: Config, setting: str, name: str) -> list[str]:
    mirror, now = config.mirror, datetime.now(UTC)
    try:
        key = find_key(name, mirror.gnupg_home, mirror.passphrase_file, now, setting)
    except SigningError as error:
        return [f"  {setting}: {name}", f"    ! {error}"]
    until = f"expires on {key.expires:%Y-%m-%d}" if key.expires is not None else "never expires"
    lines = [f"  {setting}: {key.fingerprint}", f"    {key.algorithm} {key.bits}, {until}, {key.user}"]
    if key.primary != key.fingerprint:
        lines.append(f"    a subkey of {key.primary}")
    return lines + [f"    ! {text}" for text in warn(key, now)]


@key_command.command("new")
@click.option("--name", help="The user id; by default the host of public_url, else the description of the mirror.")
@click.option("--kind", type=click.Choice(KINDS), default="rsa3072", show_default=True, help="The algorithm.")
@click.option("--expires", default="2y", show_default=True, metavar="WHEN", help="As gpg spells it: 2y, 6m, never.")
@click.option("--without-subkey", is_flag=True, help="The primary key signs: for rpm of RHEL 7 and older.")
@click.pass_obj
def new_command(config_path: Path, name: str | None, kind: str, expires: str, without_subkey: bool) -> None:
    """Make a signing key that all clients accept.

    It signs nothing until mirror.conf names it.
    RSA with 3072 bits is the one kind that the apt, dnf, yum, zypper and skopeo of all releases accept.
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


@key_command.command("export")
@click.option("--section", default="mirror", show_default=True, help="The section whose key it is: `repo apt-prod`.")
@click.option("--binary", is_flag=True, help="Binary, for a file that ends in .gpg.")
@click.pass_obj
def export_command(config_path: Path, section: str, binary: bool) -> None:
    """Print the public key as it is published.

    In a rotation: all keys that clients need.
    """
    config = load(config_path)
    if section not in _sections(config):
        raise ConfigError(f"[{section}] of {config.source} has no gpg_sign_key", hint="see `packrat-agent key show`")

    def work() -> PublicKey:
        keys = find_keys(config)
        prepared = keys.main if section == "mirror" else keys.of_sections[section]
        assert prepared is not None
        return prepared.public

    public = as_owner(config, work)
    click.echo(public.binary if binary else public.armored, nl=False)


@key_command.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--encrypt-with",
    "passphrase_file",
    type=GivenFile(),
    help="A file with a passphrase to encrypt the backup with.",
)
@click.pass_obj
def backup_command(config_path: Path, file: Path, passphrase_file: Path | None) -> None:
    """Write the secret keys into FILE.

    These are all that mirror.conf names, with their revocation certificates.
    The backup is read back before it is written. Only this user can read FILE.
    """
    config = load(config_path)
    target = file.absolute()
    # Unlike Path.resolve, this raises nothing where a link leads round in a circle.
    if Path(os.path.realpath(target)).is_relative_to(os.path.realpath(config.mirror.root_dir)):
        raise ConfigError(f"{file} lies in root_dir, where the web server would show it", hint="choose another place")
    if os.path.lexists(target):
        raise ConfigError(f"{file} exists already", hint="give another name, or move it away")
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


def _export_all(config: Config) -> bytes:
    mirror, now = config.mirror, datetime.now(UTC)
    found: dict[str, str] = {}
    for names in _sections(config).values():
        settings = [("gpg_sign_key", names.sign_key), ("gpg_next_key", names.next_key)]
        for setting, name in (*settings, ("gpg_former_key", names.former_key)):
            if name is not None:
                primary, signing = find_parts(setting, name, mirror.gnupg_home, now)
                found[signing] = primary
    if not found:
        raise SigningError(f"{config.source} names no key", hint="make one with `packrat-agent key new`")
    return export_secret(found, mirror.gnupg_home, mirror.passphrase_file)


def _sections(config: Config) -> dict[str, KeyNames]:
    main = {"mirror": config.mirror.keys} if config.mirror.keys is not None else {}
    return {**main, **config.section_keys}
