"""Adds the epochs of rpms, which their versions leave out; the server reads them from the files when it starts."""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; NULL means that the epoch was not read yet, or that the type has none."""
    op.add_column("package_files", sa.Column("epoch", sa.BigInteger().with_variant(sa.Integer(), "sqlite")))
