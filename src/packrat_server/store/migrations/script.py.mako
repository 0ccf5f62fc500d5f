"""${message}

Takes: the schema of ${down_revision}.
Gives: the schema of ${up_revision}.
Touches: the database.
"""

from alembic import op
import sqlalchemy as sa

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
