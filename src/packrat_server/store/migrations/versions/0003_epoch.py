"""The epochs of rpms, which their versions leave out; the server reads them from the files when it starts.

Takes: the schema of version 0002.
Gives: the schema of version 0003.
Touches: the database.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; NULL stands for an epoch that was not read yet, and for types that have none."""
    op.add_column("package_files", sa.Column("epoch", sa.BigInteger().with_variant(sa.Integer(), "sqlite")))
