"""Sets up the demo: a packrat server with a mirror, a signing key, a mirror.conf."""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from packrat_agent.gpg.listed_keys import list_keys
from packrat_agent.gpg.run import run_gpg
from packrat_core.errors import ConfigError, DiskError, SigningError
from packrat_core.fs.free_space import is_full
from packrat_core.text import printable
from packrat_demo.table import DEMO_TYPES
from packrat_server import admin
from packrat_server.accounts.passwords import new_password
from packrat_server.accounts.rights import Role
from packrat_server.admin.new_server import init
from packrat_server.store.database import open_database

USER = "uploader"
MIRROR = "demo"
_KEY_NAME = "packrat demo (for trying out only) <demo@example.com>"
_SOCKET_PATH_LIMIT = 80
"""The sockets of gpg-agent are in the GNUPGHOME, and the path of a socket may have 107 bytes."""


@dataclass(frozen=True, slots=True)
class DemoSetup:
    """The places of everything in the demo, and the secrets that open it."""

    directory: Path
    password: str
    psk: str
    key: str

    @property
    def server_data(self) -> Path:
        """The packrat server's data directory."""
        return self.directory / "server"

    @property
    def packages(self) -> Path:
        """The directory of the package files to upload."""
        return self.directory / "packages"

    @property
    def config(self) -> Path:
        """The mirror's configuration."""
        return self.directory / "mirror.conf"

    @property
    def gnupg_home(self) -> Path:
        """The GNUPGHOME with the demo's signing key."""
        return find_gnupg_home(self.directory)


def set_up(directory: Path, kinds: tuple[str, ...]) -> DemoSetup:
    """Make all that the demo needs, or find it from an earlier start.

    Args:
        directory: Where to make it.
        kinds: The types of repositories.

    Raises:
        ConfigError: gpg is not installed, or the directory can't be written.
        SigningError: gpg can't make a key.
        DiskError: The disk is full.
    """
    if shutil.which("gpg") is None:
        raise ConfigError("gpg is not installed, and the demo signs its repositories: `apt-get install gnupg`")
    if not str(directory).isprintable():
        raise ConfigError(
            f"{printable(str(directory))} has characters that mirror.conf can't hold", hint="give another --directory"
        )
    try:
        for name in ("packages", "state", "www"):
            (directory / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{directory} can't be written: {error.strerror}", hint="give another --directory") from None
    if not os.access(directory, os.W_OK):
        raise ConfigError(f"{directory} can't be written", hint="give another --directory")
    key = _make_key(find_gnupg_home(directory))
    data = directory / "server"
    if not (data / "packrat.db").exists():
        init(data)
    engine = open_database(data)
    # The password is stored nowhere, so each start makes a new one; the same goes for the psk.
    password = admin.save_user(engine, USER, Role.MANAGER)
    repos = [(f"{kind}-dev", kind, "dev") for kind in kinds] + [("apt-prod", "apt", "prod")]
    for name, kind, tag in repos:
        repo = admin.NewRepo(
            name, kind, tag, DEMO_TYPES[kind].distro_versions, f"Demo packages, {tag}", show_only_latest=False
        )
        admin.save_repo(engine, repo)
    psk = new_password()
    admin.save_mirror(engine, MIRROR, [name for name, _, _ in repos], "The demo's mirror", psk)
    engine.dispose()
    return DemoSetup(directory, password, psk, key)


def write_config(setup: DemoSetup, server_url: str, public_url: str) -> None:
    """Write the mirror.conf.

    Args:
        setup: The demo.
        server_url: The address of its packrat server.
        public_url: The address of its site.
    """
    text = f"""\
[packrat]
host: {server_url}
name: {MIRROR}
psk: {setup.psk}

[mirror]
description: packrat demo mirror
root_dir: {setup.directory / "www"}
state_db: {setup.directory / "state" / "state.db"}
gpg_sign_key: {setup.key}
gnupg_home: {setup.gnupg_home}
full_sync_interval: 60
public_url: {public_url}
"""
    descriptor = os.open(setup.config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def find_gnupg_home(directory: Path) -> Path:
    """Give the GNUPGHOME: in the directory, or in /tmp where that path is too long for gpg."""
    inside = directory / "gnupg"
    if len(str(inside)) <= _SOCKET_PATH_LIMIT:
        return inside
    digest = hashlib.sha256(str(directory).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"packrat-demo-{os.getuid()}-{digest}"


def _make_key(home: Path) -> str:
    home.mkdir(mode=0o700, exist_ok=True)
    listed = list_keys(home, secret=True)
    if not listed:
        made = run_gpg(home, "--passphrase", "", "--quick-generate-key", _KEY_NAME, "rsa3072", "sign", "never")
        if made.returncode != 0:
            text = f"gpg can't make a key in {home}: {made.reason}"
            if is_full(home):
                raise DiskError(f"{text}; its disk is full", hint="free space there, or give another --directory")
            raise SigningError(text, hint="check whether gpg works there")
        listed = list_keys(home, secret=True)
    return listed[0].primary.fingerprint
