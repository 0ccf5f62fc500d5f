"""Adds the table of events, which can only be added to."""

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | None = "0010"
branch_labels = None
depends_on = None

_LARGE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LONG = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table with its indexes, and the triggers that keep its rows as they are."""
    op.create_table(
        "events",
        sa.Column("id", _LARGE, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", _text(50), nullable=False),
        sa.Column("via", _text(10), nullable=False),
        sa.Column("action", _text(30), nullable=False),
        sa.Column("model", _text(30), nullable=False),
        sa.Column("object", _text(200), nullable=False),
        sa.Column("package", _text(200)),
        sa.Column("file_name", _text(200)),
        sa.Column("change_control_id", _text(50)),
        sa.Column("reason", _LONG),
        sa.Column("before", _LONG),
        sa.Column("after", _LONG),
        sqlite_autoincrement=True,
    )
    op.create_index("events_object", "events", ["model", "object", "id"])
    op.create_index("events_package", "events", ["package", "id"])
    op.create_index("events_file_name", "events", ["file_name", "id"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION keep_events() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'events are only added'; END $$"
        )
        op.execute(
            "CREATE TRIGGER events_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON events "
            "FOR EACH STATEMENT EXECUTE FUNCTION keep_events()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER events_kept_at_{change.lower()} BEFORE {change} ON events "
            "BEGIN SELECT RAISE(ABORT, 'events are only added'); END"
        )
