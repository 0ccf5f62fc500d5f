"""Adds a column for the epoch of rpms, which their versions omit; the server reads it from the files at its start."""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; NULL means that the epoch has not been read yet, or that the type has none."""
    op.add_column("package_files", sa.Column("epoch", sa.BigInteger().with_variant(sa.Integer(), "sqlite")))
