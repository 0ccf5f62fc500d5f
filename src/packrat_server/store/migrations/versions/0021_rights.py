"""Adds the rights that a user has beyond those of the role.

The roles of before, manager and admin, are roles still, with the same rights; sessions go on.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels = None
depends_on = None

_LONG = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table, and add a column for the rights of a session."""
    op.create_table(
        "user_rights",
        sa.Column("user", _text(40), sa.ForeignKey("users.name"), primary_key=True),
        sa.Column("right", _text(30), primary_key=True),
    )
    op.add_column("sessions", sa.Column("rights", _LONG, nullable=False, server_default=""))
