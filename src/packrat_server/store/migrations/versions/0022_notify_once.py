"""Has PostgreSQL's notification carry the id of the newest entry, so that a reader need not ask for it.

On SQLite nothing changes.
"""

from alembic import op

revision: str = "0022"
down_revision: str | None = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the trigger of the journal."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute("DROP TRIGGER journal_told ON journal")
    op.execute(
        "CREATE OR REPLACE FUNCTION tell_of_journal() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_notify('packrat_journal', max(id)::text) FROM added; RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER journal_told AFTER INSERT ON journal REFERENCING NEW TABLE AS added "
        "FOR EACH STATEMENT EXECUTE FUNCTION tell_of_journal()"
    )
