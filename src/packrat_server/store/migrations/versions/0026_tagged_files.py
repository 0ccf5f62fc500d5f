"""Has tags of package files found by both of their columns, whichever of the two a query begins with."""

from alembic import op

revision: str = "0026"
down_revision: str | None = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Put an index of both columns in the place of that of the tag; the unique constraint begins with the file."""
    op.create_index("package_file_tags_of_tag", "package_file_tags", ["tag", "package_file"])
    op.drop_index("ix_package_file_tags_tag", "package_file_tags")
    op.drop_index("ix_package_file_tags_package_file", "package_file_tags")
