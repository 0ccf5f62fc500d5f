"""Makes room for the name of any distribution; the column had six letters, for `debian`.

On PostgreSQL it has held text of any length since 0002, so nothing changes there.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the column by a longer one with the same content."""
    if op.get_bind().dialect.name == "postgresql":
        return
    # SQLite can't change a column, and a new table would break the references of package files to this one.
    op.add_column("distro_versions", sa.Column("longer", sa.String(length=20), nullable=False, server_default=""))
    op.execute("UPDATE distro_versions SET longer = distro")
    op.execute("ALTER TABLE distro_versions DROP COLUMN distro")
    op.execute("ALTER TABLE distro_versions RENAME COLUMN longer TO distro")
