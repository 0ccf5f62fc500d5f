"""The tables of the server's database."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData()

_LARGE = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit integer. In SQLite all integers have 64 bits, and only a column of type INTEGER generates its values."""


def _text(length: int | None = None) -> TypeEngine[str]:
    """Text of up to `length` characters, sorted by code point.

    Neither database enforces the length: the program checks it. PostgreSQL would sort by the language of the database.
    """
    plain: TypeEngine[str] = Text() if length is None else String(length)
    return plain.with_variant(Text(collation="C"), "postgresql")


def _stamps() -> tuple[Column[object], Column[object]]:
    return (
        Column("created", DateTime(timezone=True), nullable=False),
        Column("updated", DateTime(timezone=True), nullable=False),
    )


tags = Table(
    "tags",
    metadata,
    Column("name", _text(10), primary_key=True),
    Column("change_control_required", Boolean, nullable=False),
    *_stamps(),
)

required_tags = Table(
    "required_tags",
    metadata,
    Column("tag", ForeignKey("tags.name"), primary_key=True),
    Column("required", ForeignKey("tags.name"), primary_key=True),
)

distro_versions = Table(
    "distro_versions",
    metadata,
    Column("name", _text(20), primary_key=True),
    Column("ordinal", Integer, nullable=False),
    Column("distro", _text(20), nullable=False),
    Column("version", _text(10)),
    Column("file_type", _text(20), nullable=False),
    Column("release_names", _text(100), nullable=False),
    *_stamps(),
)

packages = Table(
    "packages",
    metadata,
    Column("name", _text(200), primary_key=True),
    Column("deprocated_count", Integer, nullable=False),
    Column("failed_count", Integer, nullable=False),
    *_stamps(),
)

package_files = Table(
    "package_files",
    metadata,
    Column("id", _LARGE, primary_key=True),
    Column("package", ForeignKey("packages.name"), nullable=False),
    Column("distro_version", ForeignKey("distro_versions.name"), nullable=False),
    Column("version", _text(200), nullable=False),
    # The epoch of an rpm, which is not part of `version`; NULL until it was read.
    Column("epoch", _LARGE),
    Column("type", _text(20), nullable=False),
    Column("arch", _text(20), nullable=False),
    Column("justification", _text(), nullable=False),
    Column("provenance", _text(), nullable=False),
    Column("file_name", _text(200), nullable=False, index=True),
    Column("sha256", _text(64), nullable=False, index=True),
    Column("size", _LARGE, nullable=False),
    Column("failed_at", DateTime(timezone=True)),
    Column("failed_by", _text(40)),
    Column("deprocated_at", DateTime(timezone=True)),
    Column("deprocated_by", _text(40)),
    Column("created_by", _text(40), nullable=False),
    *_stamps(),
    UniqueConstraint("package", "distro_version", "version", "type", "arch", "file_name"),
    sqlite_autoincrement=True,
)

package_file_tags = Table(
    "package_file_tags",
    metadata,
    Column("id", _LARGE, primary_key=True),
    Column("package_file", ForeignKey("package_files.id"), nullable=False),
    Column("tag", ForeignKey("tags.name"), nullable=False),
    Column("by", _text(40), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("change_control_id", _text(50)),
    UniqueConstraint("package_file", "tag"),
    # By the tag alone, PostgreSQL would read all files of a tag for each file where it has no statistics yet.
    Index("package_file_tags_of_tag", "tag", "package_file"),
    sqlite_autoincrement=True,
)

repos = Table(
    "repos",
    metadata,
    Column("name", _text(50), primary_key=True),
    Column("description", _text(200), nullable=False),
    Column("directory", _text(50), nullable=False),
    Column("kind", _text(6), nullable=False),
    Column("tag", ForeignKey("tags.name"), nullable=False),
    Column("show_only_latest", Boolean, nullable=False),
    *_stamps(),
)

repo_distro_versions = Table(
    "repo_distro_versions",
    metadata,
    Column("repo", ForeignKey("repos.name"), primary_key=True),
    Column("distro_version", ForeignKey("distro_versions.name"), primary_key=True),
    Column("ordinal", Integer, nullable=False),
)

mirrors = Table(
    "mirrors",
    metadata,
    Column("name", _text(50), primary_key=True),
    Column("description", _text(200), nullable=False),
    Column("psk", LargeBinary, nullable=False),
    # A keyed hash of the psk that the mirror logged in with last; the key is in the data directory.
    Column("proof", LargeBinary),
    Column("last_heartbeat", DateTime(timezone=True)),
    *_stamps(),
)

mirror_repos = Table(
    "mirror_repos",
    metadata,
    Column("mirror", ForeignKey("mirrors.name"), primary_key=True),
    Column("repo", ForeignKey("repos.name"), primary_key=True),
    Column("ordinal", Integer, nullable=False),
)

mirror_reports = Table(
    "mirror_reports",
    metadata,
    Column("mirror", _text(50), primary_key=True),
    Column("repo", _text(50), primary_key=True),
    # The position up to which the mirror has published the repository, and the journal's entry in it.
    Column("position", _text(40), nullable=False),
    Column("entry", _LARGE, nullable=False),
    Column("digest", _text(64), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)

orphans = Table(
    "orphans",
    metadata,
    # A stored file that no record names any more, and since when.
    Column("sha256", _text(64), primary_key=True),
    Column("since", Float, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("name", _text(40), primary_key=True),
    Column("password", LargeBinary, nullable=False),
    Column("role", _text(10), nullable=False),
    Column("active", Boolean, nullable=False),
    *_stamps(),
)

user_rights = Table(
    "user_rights",
    metadata,
    Column("user", ForeignKey("users.name"), primary_key=True),
    # A right of accounts/rights.py beyond those of the user's role, such as `tag_dev`.
    Column("right", _text(30), primary_key=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("name", _text(50), nullable=False),
    Column("role", _text(10), nullable=False),
    # The rights beyond those of the role, with spaces between.
    Column("rights", _text(), nullable=False, server_default=""),
    Column("expires", Float, nullable=False),
)

uploads = Table(
    "uploads",
    metadata,
    Column("handle", _text(40), primary_key=True),
    Column("file_name", _text(200)),
    Column("sha256", _text(64), nullable=False),
    Column("size", _LARGE, nullable=False),
    Column("by", _text(40), nullable=False),
    Column("at", Float, nullable=False),
)

journal = Table(
    "journal",
    metadata,
    Column("id", _LARGE, primary_key=True),
    # Random, to tell this row from one with the same id in a database that was restored from a backup.
    Column("mark", _text(16), nullable=False),
    Column("at", Float, nullable=False),
    # A change of a package in a repository (repo, package), or of a mirror's own record or repositories (mirror).
    Column("repo", _text(50)),
    Column("package", _text(200)),
    Column("mirror", _text(50)),
    # The package file that changed, which may be deleted by now; NULL: any of the package.
    Column("file", _LARGE),
    Index("journal_repo", "repo", "id"),
    Index("journal_mirror", "mirror", "id"),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    metadata,
    Column("id", _LARGE, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("by", _text(50), nullable=False),
    Column("via", _text(10), nullable=False),
    Column("action", _text(30), nullable=False),
    Column("model", _text(30), nullable=False),
    Column("object", _text(200), nullable=False),
    # Set for package files and packages, so that deleted ones are found, too.
    Column("package", _text(200)),
    Column("file_name", _text(200)),
    Column("change_control_id", _text(50)),
    Column("reason", _text()),
    # The fields that the change is about, as JSON; NULL where the object does not exist.
    Column("before", _text()),
    Column("after", _text()),
    Index("events_object", "model", "object", "id"),
    Index("events_package", "package", "id"),
    Index("events_file_name", "file_name", "id"),
    sqlite_autoincrement=True,
)
