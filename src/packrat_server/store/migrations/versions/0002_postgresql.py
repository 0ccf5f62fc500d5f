"""Adapts the schema to PostgreSQL: text of any length sorted by code point, 64-bit integers, and notifications.

On SQLite nothing changes.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels = None
depends_on = None

_LARGE = (
    ("package_files", "id"),
    ("package_files", "size"),
    ("package_file_tags", "id"),
    ("package_file_tags", "package_file"),
    ("uploads", "size"),
    ("journal", "id"),
)
_SEQUENCES = ("package_files_id_seq", "package_file_tags_id_seq", "journal_id_seq")


def upgrade() -> None:
    """Change types and collations, and add a trigger that notifies listeners of new journal rows."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    inspector = sa.inspect(connection)
    for table in inspector.get_table_names():
        for column in inspector.get_columns(table):
            if table != "alembic_version" and isinstance(column["type"], sa.String):
                op.execute(f'ALTER TABLE "{table}" ALTER COLUMN "{column["name"]}" TYPE text COLLATE "C"')
    for table, name in _LARGE:
        op.execute(f'ALTER TABLE "{table}" ALTER COLUMN "{name}" TYPE bigint')
    for name in _SEQUENCES:
        op.execute(f'ALTER SEQUENCE "{name}" AS bigint')
    op.execute(
        "CREATE FUNCTION tell_of_journal() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_notify('packrat_journal', ''); RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER journal_told AFTER INSERT ON journal FOR EACH STATEMENT EXECUTE FUNCTION tell_of_journal()"
    )
