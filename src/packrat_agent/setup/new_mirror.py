"""What `packrat-agent init` is to set up, and the checks that refuse what can't work before anything is changed."""

import asyncio
import os
import pwd
from dataclasses import dataclass, replace
from pathlib import Path

from packrat_agent.config.settings import Config
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.model.records import MirrorView
from packrat_agent.publish.claim import refuse_unmanaged
from packrat_agent.setup.account import Account, find_account
from packrat_agent.setup.answers import Answers
from packrat_agent.setup.commands import has_systemd
from packrat_agent.setup.directories import OwnDirectory
from packrat_agent.setup.service import UNIT, check_program, find_other_mirror
from packrat_agent.setup.signing import check_new_home, check_passphrase, find_own_key, try_key_file
from packrat_agent.setup.web_server import InstalledServer
from packrat_agent.upstream.connection import connected
from packrat_agent.upstream.login import LoginState
from packrat_core.cinp.failures import MIRROR_CONF, SettingNames
from packrat_core.errors import ConfigError, ServerRefused

_WAIT_S = 10
"""For how long somebody at a terminal waits for the next byte of the server, where the agent may wait for longer."""


@dataclass(frozen=True, slots=True)
class NewMirror:
    """A mirror to set up, in part or whole.

    Attributes:
        config: As mirror.conf has it, or, before that is there, as it follows from the answers but for the key's id.
        answers: What mirror.conf is written from; None if it is there already.
        user: The name of the user that the agent runs as.
        key_file: A file with the secret key to take; None to make one, or to use the one in the keyring.
        key_id: Which key of the keyring is meant; '' if it is the only one.
        web_server: The web server that gets a site file; None for none.
        starts: Whether the service is started.
    """

    config: Config
    answers: Answers | None
    user: str
    key_file: Path | None
    key_id: str
    web_server: InstalledServer | None
    starts: bool

    @property
    def gnupg_home(self) -> Path | None:
        """The directory of the keyring, if the mirror signs and has one of its own."""
        mirror = self.config.mirror
        return mirror.gnupg_home if mirror.gpg_sign_key else None

    @property
    def key_name(self) -> str:
        """The id of the key that signs: that of mirror.conf, once it is there; '' for the only key of the keyring."""
        return self.key_id if self.answers is not None else self.config.mirror.gpg_sign_key or ""

    @property
    def directories(self) -> tuple[OwnDirectory, ...]:
        """The directories that belong to the agent's user, those above before those in them."""
        mirror = self.config.mirror
        own = [OwnDirectory(mirror.root_dir, 0o755), OwnDirectory(mirror.state_db.parent, 0o750)]
        if self.gnupg_home is not None:
            own.append(OwnDirectory(self.gnupg_home, 0o700, closed=True))
        return tuple(own)


def check_rights(mirror: NewMirror) -> None:
    """Make sure that this user may do all steps of the set-up.

    Raises:
        ConfigError: It may not; the message names what, and the hint how to go on.
    """
    if os.geteuid() == 0:
        return
    me = pwd.getpwuid(os.geteuid()).pw_name
    if mirror.user != me:
        raise ConfigError(
            f"only root can set up a mirror for user {mirror.user}",
            hint=f"run `packrat-agent init` as root, or give --user {me}, --state-dir, --root-dir and, before `init`, "
            "--config",
        )
    paths = [mirror.config.source, *(directory.path for directory in mirror.directories)]
    for path in paths:
        above = next(parent for parent in (path, *path.parents) if os.path.exists(parent))  # never raises
        if not os.access(above, os.W_OK):
            raise ConfigError(
                f"user {me} may not make {path}", hint="run `packrat-agent init` as root, or choose other paths"
            )


def check_places(mirror: NewMirror) -> None:
    """Make sure that the directories can be made, and that what stands there is this agent's.

    Raises:
        ConfigError: A directory can't be made, or the agent's user may not run this program.
        NotOurs: root_dir holds unmanaged files, or the state database is that of the original agent.
        DiskError: They can't be read.
    """
    account = find_account(mirror.user)
    for directory in mirror.directories:
        directory.check(account)
    settings = mirror.config.mirror
    refuse_unmanaged(settings.root_dir, settings.state_db, sorted(settings.keep_files))
    if account is not None:
        check_program(account)


def check_unit(mirror: NewMirror) -> None:
    """Make sure that the unit is not the one of another mirror, which would be followed no longer.

    Raises:
        ConfigError: It is.
    """
    if not mirror.starts or not has_systemd():
        return
    other = find_other_mirror(mirror.config.source)
    if other is not None:
        raise ConfigError(
            f"{UNIT} runs another mirror, that of {other}",
            hint='give --no-start, and this mirror a unit of its own: see "Two mirrors on one host" in '
            f"docs/operations.md. If that mirror is no more, move {other} away",
        )


def check_key(mirror: NewMirror) -> None:
    """Make sure that the mirror will have a key that can sign.

    Raises:
        SigningError: gpg or the key can't be used.
    """
    home, passphrase_file = mirror.gnupg_home, mirror.config.mirror.passphrase_file
    if home is None:
        return
    account = find_account(mirror.user)
    if mirror.answers is not None:
        check_new_home(home)
    if account is not None and find_mirror_key(mirror, account, home) is not None:
        return
    if mirror.key_file is not None:
        try_key_file(mirror.key_file, mirror.key_name, passphrase_file)
    elif passphrase_file is not None:
        check_passphrase(passphrase_file)


def find_mirror_key(mirror: NewMirror, account: Account, home: Path) -> SigningKey | None:
    """Find the key that signs; None if there is no key yet, or if it is still to come from a file.

    Args:
        mirror: What is set up.
        account: The user that the agent runs as.
        home: The directory of the keyring.

    Raises:
        SigningError: The key can't be used, or the keyring has several.
    """
    unlock = mirror.config.mirror.passphrase_file
    return find_own_key(account, home, mirror.key_name, unlock, may_lack=mirror.key_file is not None)


def ask_server(config: Config, names: SettingNames = MIRROR_CONF) -> MirrorView:
    """Log in to the packrat server, and ask what it offers this mirror.

    Args:
        config: The configuration; limits of time that are longer than ten seconds count as ten.
        names: What errors call the settings.

    Raises:
        ServerUnavailable: It can't be reached.
        ServerRefused: It refuses the name or the psk.
        ServerBroken: It is not a packrat server.
    """
    state = LoginState()
    if config.packrat.stall_timeout_s > _WAIT_S:
        # Raising what is not in force would not help.
        names = replace(names, stall_timeout="")
    if config.packrat.connect_timeout_s > _WAIT_S:
        names = replace(names, connect_timeout="")
    bounded = wait_briefly(config)

    async def ask() -> MirrorView:
        async with connected(bounded, state, names) as server:
            return await server.view()

    view = asyncio.run(ask())
    if state.refused is not None:
        raise ServerRefused(
            state.refused,
            hint="it shows this mirror to everybody, too: give the right psk, or leave it empty if it has none",
        )
    return view


def wait_briefly(config: Config) -> Config:
    """Give the configuration with limits of time as they suit somebody who waits for the answer."""
    packrat = config.packrat
    connect_s, stall_s = min(packrat.connect_timeout_s, _WAIT_S), min(packrat.stall_timeout_s, _WAIT_S)
    return replace(config, packrat=replace(packrat, connect_timeout_s=connect_s, stall_timeout_s=stall_s))
