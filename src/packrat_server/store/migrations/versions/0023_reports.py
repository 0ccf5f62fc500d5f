"""Adds tables for what mirrors report, and for stored files that no record names any more."""

import sqlalchemy as sa
from alembic import op

revision: str = "0023"
down_revision: str | None = "0022"
branch_labels = None
depends_on = None

_LARGE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "mirror_reports",
        sa.Column("mirror", _text(50), primary_key=True),
        sa.Column("repo", _text(50), primary_key=True),
        sa.Column("position", _text(40), nullable=False),
        sa.Column("entry", _LARGE, nullable=False),
        sa.Column("digest", _text(64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "orphans",
        sa.Column("sha256", _text(64), primary_key=True),
        sa.Column("since", sa.Float(), nullable=False),
    )
