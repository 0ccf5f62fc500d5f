"""Adds a column to the journal for the package file that a change touched."""

import sqlalchemy as sa
from alembic import op

revision: str = "0025"
down_revision: str | None = "0024"
branch_labels = None
depends_on = None

_LARGE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the column; NULL means that any file of the package may have changed."""
    op.add_column("journal", sa.Column("file", _LARGE))
