"""`packrat-agent key`: shows, makes, replaces, exports and backs up the signing key."""

from pathlib import Path

import click

from packrat_agent.cli.config_option import config_option
from packrat_core.cli.command_group import InnerGroup
from packrat_core.cli.parameters import GivenFile

_KINDS = ("rsa3072", "rsa4096", "ed25519")


@click.group("key", cls=InnerGroup)
@config_option
def key_command() -> None:
    """Show, make, replace, export and back up the signing key.

    When root runs these commands, gpg runs as the agent's user.
    """


@key_command.command("show")
@config_option
@click.pass_obj
def show_command(config_path: Path) -> None:
    """Show the keys that sign, and which clients refuse them.

    It also shows how far a rotation has come.
    """
    from packrat_agent.cli.key_show import show_keys

    show_keys(config_path)


@key_command.command("new")
@click.option("--name", help="The user id; by default the host of public_url, else the description of the mirror.")
@click.option("--kind", type=click.Choice(_KINDS), default="rsa3072", show_default=True, help="The algorithm.")
@click.option("--expires", default="2y", show_default=True, metavar="WHEN", help="As gpg spells it: 2y, 6m, never.")
@click.option("--without-subkey", is_flag=True, help="The primary key signs: for rpm of RHEL 7 and older.")
@config_option
@click.pass_obj
def new_command(config_path: Path, name: str | None, kind: str, expires: str, without_subkey: bool) -> None:
    """Make a signing key that all clients accept.

    It signs nothing until mirror.conf names it.
    RSA with 3072 bits is the one kind that the apt, dnf, yum, zypper and skopeo of all releases accept.
    """
    from packrat_agent.cli.key_new import make_new

    make_new(config_path, name, kind, expires, without_subkey=without_subkey)


@key_command.command("export")
@click.option("--section", default="mirror", show_default=True, help="The section whose key it is: `repo apt-prod`.")
@click.option("--binary", is_flag=True, help="Binary, for a file that ends in .gpg.")
@config_option
@click.pass_obj
def export_command(config_path: Path, section: str, binary: bool) -> None:
    """Print the public key as it is published.

    In a rotation: all keys that clients need.
    """
    from packrat_agent.cli.key_export import export

    export(config_path, section, binary=binary)


@key_command.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--encrypt-with",
    "passphrase_file",
    type=GivenFile(),
    help="A file with a passphrase to encrypt the backup with.",
)
@config_option
@click.pass_obj
def backup_command(config_path: Path, file: Path, passphrase_file: Path | None) -> None:
    """Write the secret keys into FILE.

    These are all that mirror.conf names, with their revocation certificates.
    The backup is read back before it is written. Only this user can read FILE.
    """
    from packrat_agent.cli.key_backup import back_up

    back_up(config_path, file, passphrase_file)


@key_command.command("rotate")
@click.option("--section", default="mirror", show_default=True, help="The section whose key it is: `repo apt-prod`.")
@click.option("--begin", metavar="KEY", help="Phase 1: offer KEY to clients. The present key goes on signing.")
@click.option("--switch", is_flag=True, help="Phase 2: sign with the new key; the former one signs beside it.")
@click.option("--finish", is_flag=True, help="Phase 3: the former key stops signing.")
@click.option("--forget", is_flag=True, help="Stop publishing retired keys, once no package needs them.")
@click.option("--now", metavar="KEY", help="The present key was stolen: sign all with KEY at once. Breaks clients.")
@config_option
@click.pass_obj
def rotate_command(config_path: Path, /, section: str, **steps: str | bool | None) -> None:
    """Replace the signing key, in phases.

    Without an option, show the phase and what comes next. Each step changes mirror.conf, and takes effect once the
    agent has read it again.
    """
    from packrat_agent.cli.key_rotate import rotate

    rotate(config_path, section, steps)
