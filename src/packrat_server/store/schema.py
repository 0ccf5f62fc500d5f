"""Migrates a database to the newest schema."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from packrat_core.errors import ConfigError


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "packrat_server.store:migrations")
    return config


def is_newest(connection: Connection, where: str) -> bool:
    """Tell whether the schema is the newest; False where it can be migrated.

    Raises:
        ConfigError: The database has no schema, or one that this program does not know.
    """
    scripts = ScriptDirectory.from_config(_config())
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None:
        raise ConfigError(f"{where} holds no packrat server: restore it from a backup, or make a new one with `init`")
    if found not in {script.revision for script in scripts.walk_revisions()}:
        raise ConfigError(
            f"{where} has schema version {found}, this packrat-server knows {scripts.get_current_head()} and older: a "
            "newer one wrote it, or another program",
            hint="install the newer one, or name the right database",
        )
    return found == scripts.get_current_head()


def upgrade(connection: Connection, version: str = "head") -> None:
    """Bring the schema up to a version, by default the newest, inside the caller's transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, version)
