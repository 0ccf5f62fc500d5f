"""Migrates a database to the newest schema."""

from pathlib import Path

from sqlalchemy import Connection, inspect

from packrat_core.errors import ConfigError

_VERSIONS = Path(__file__).with_name("migrations") / "versions"


def is_newest(connection: Connection, where: str) -> bool:
    """Tell whether the schema is the newest; False where it can be migrated.

    Raises:
        ConfigError: The database has no schema, or one that this program does not know.
    """
    known = sorted(file.name.partition("_")[0] for file in _VERSIONS.glob("[0-9]*.py"))
    found = _read_version(connection)
    if not found:
        raise ConfigError(f"{where} holds no packrat server: restore it from a backup, or make a new one with `init`")
    if found not in known:
        raise ConfigError(
            f"{where} has schema version {found}, this packrat-server knows {known[-1]} and older: a "
            "newer one wrote it, or another program",
            hint="install the newer one, or name the right database",
        )
    return found == known[-1]


def _read_version(connection: Connection) -> str:
    """Read the version as alembic keeps it; '' where there is none."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return ", ".join(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars())


def upgrade(connection: Connection, version: str = "head") -> None:
    """Bring the schema up to a version, by default the newest, inside the caller's transaction."""
    # It takes longer to import than most commands to work.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "packrat_server.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, version)
