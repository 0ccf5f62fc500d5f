"""Adds a column for the proof that a mirror has logged in before."""

import sqlalchemy as sa
from alembic import op

revision: str = "0024"
down_revision: str | None = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; NULL means that the mirror has not logged in since."""
    op.add_column("mirrors", sa.Column("proof", sa.LargeBinary()))
