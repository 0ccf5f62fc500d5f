"""Makes a new server: its data directory, the usual tags and distribution versions, user `admin`."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, insert

from packrat_core.errors import ConfigError
from packrat_core.fs.ownership import explain_unmakable, explain_unreadable, explain_unwritable
from packrat_core.packages.repository_types import REPOSITORY_TYPES
from packrat_server.accounts.passwords import hash_secret, new_password
from packrat_server.accounts.rights import Role
from packrat_server.store.blobs import holds_files
from packrat_server.store.database import make_database
from packrat_server.store.journal import begin
from packrat_server.store.tables import distro_versions, required_tags, tags, users

_DIRECTORY_MODE = 0o750
_TAGS: Sequence[tuple[str, str | None, bool]] = (("dev", None, False), ("stage", "dev", False), ("prod", "stage", True))
"""Name, the tag that it requires, whether it needs a change control id."""

_DEBS = (
    *("trusty", "xenial", "bionic", "focal", "jammy", "noble"),
    *("buster", "bullseye", "bookworm", "trixie"),
)
_EL = (6, 7, 8, 9, 10)
_SLES = (11, 12, 15)
_SINGLE = (
    ("docker", "docker"),
    ("pypi", "python"),
    ("json", "json"),
    ("ova", "ova"),
    ("tar", "tar"),
    ("img", "img"),
    ("appimage", "appimage"),
    ("resource", "resource"),
    ("respkg", "respkg"),
)

# The order of those that a server had from the start is kept: a database numbers them.
_LATER = tuple(
    (known.distro_version, known.file_type or kind)
    for kind, known in REPOSITORY_TYPES.items()
    if known.distro_version is not None and known.distro_version not in dict(_SINGLE)
)

DISTRO_VERSIONS: Sequence[tuple[str, str, str | None, str, str]] = (
    *((name, "debian", name, "deb", name) for name in _DEBS),
    *((f"rhel{n}", "rhel", str(n), "rpm", f"el{n},centos{n}") for n in _EL),
    *((f"sles{n}", "sles", str(n), "rpm", f"sles{n},sle{n}") for n in _SLES),
    *((name, "none", None, kind, "") for name, kind in (*_SINGLE, *_LATER)),
)
"""Name, distribution, version, type of its files, the names of its releases in versions of packages."""


def init(data_dir: Path, database: str | None = None) -> str:
    """Make a new server's data directory.

    Args:
        data_dir: The directory; it may exist, and must not hold a server.
        database: The URL of an empty PostgreSQL database; by default an SQLite file in data_dir.

    Returns:
        The password of user `admin`, which is stored nowhere.

    Raises:
        ConfigError: There is a server already, or the directory or database can't be used.
        ServerUnavailable: PostgreSQL can't be reached.
    """
    password = new_password()
    try:
        if any(_is_there(data_dir / name) for name in ("packrat.db", "database")):
            raise ConfigError(f"{data_dir} holds a packrat server already", hint="`packrat-server serve` starts it")
        # A new server would take the files of the old one for leftovers, and remove them.
        if holds_files(data_dir):
            raise ConfigError(
                f"{data_dir / 'files'} holds package files of a server whose database is missing",
                hint="restore packrat.db, or the file `database`, or move `files` away",
            )
        # Package files are for those who may download them; other users of this host are not asked who they are.
        data_dir.mkdir(_DIRECTORY_MODE, parents=True, exist_ok=True)
        for name in ("files", "incoming"):
            (data_dir / name).mkdir(_DIRECTORY_MODE, exist_ok=True)
        make_database(data_dir, database, lambda connection: _seed(connection, password))
    except OSError as error:
        raise ConfigError(f"{data_dir} can't be written: {_explain(data_dir, error)}; or give another --data") from None
    return password


def _is_there(path: Path) -> bool:
    """Tell whether anything stands at a path, also a link that leads nowhere.

    Raises:
        OSError: A directory on the way is closed, or it can't be the path of a file.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _explain(data_dir: Path, error: OSError) -> str:
    if not os.path.exists(data_dir):  # it raises nothing
        why = explain_unmakable(data_dir)
    elif not os.path.isdir(data_dir):
        why = "it is not a directory"
    else:
        # What is refused need not be the directory itself.
        failed = Path(error.filename) if isinstance(error.filename, str) else data_dir
        why = explain_unwritable(data_dir, failed) or explain_unreadable(failed)
    return why or error.strerror or str(error)


def _seed(connection: Connection, password: str) -> None:
    now = datetime.now(UTC)
    stamps = {"created": now, "updated": now}
    for name, required, needs_change_control in _TAGS:
        connection.execute(insert(tags).values(name=name, change_control_required=needs_change_control, **stamps))
        if required is not None:
            connection.execute(insert(required_tags).values(tag=name, required=required))
    for ordinal, (name, distro, version, file_type, release_names) in enumerate(DISTRO_VERSIONS):
        connection.execute(
            insert(distro_versions).values(
                name=name,
                ordinal=ordinal,
                distro=distro,
                version=version,
                file_type=file_type,
                release_names=release_names,
                **stamps,
            )
        )
    connection.execute(
        insert(users).values(name="admin", password=hash_secret(password), role=Role.ADMIN, active=True, **stamps)
    )
    begin(connection)
