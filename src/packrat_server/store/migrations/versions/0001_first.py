"""Creates the first schema in an empty database."""

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create all tables and indexes."""
    op.create_table(
        "distro_versions",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("distro", sa.String(length=6), nullable=False),
        sa.Column("version", sa.String(length=10), nullable=True),
        sa.Column("file_type", sa.String(length=20), nullable=False),
        sa.Column("release_names", sa.String(length=100), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "journal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("mark", sa.String(length=16), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("repo", sa.String(length=50), nullable=True),
        sa.Column("package", sa.String(length=200), nullable=True),
        sa.Column("mirror", sa.String(length=50), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("journal", schema=None) as batch_op:
        batch_op.create_index("journal_mirror", ["mirror", "id"], unique=False)
        batch_op.create_index("journal_repo", ["repo", "id"], unique=False)

    op.create_table(
        "mirrors",
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("description", sa.String(length=200), nullable=False),
        sa.Column("psk", sa.LargeBinary(), nullable=False),
        sa.Column("last_heartbeat", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "packages",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("deprocated_count", sa.Integer(), nullable=False),
        sa.Column("failed_count", sa.Integer(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("expires", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_table(
        "tags",
        sa.Column("name", sa.String(length=10), nullable=False),
        sa.Column("change_control_required", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "uploads",
        sa.Column("handle", sa.String(length=40), nullable=False),
        sa.Column("file_name", sa.String(length=200), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("by", sa.String(length=40), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("handle"),
    )
    op.create_table(
        "users",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("password", sa.LargeBinary(), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "package_files",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("package", sa.String(length=200), nullable=False),
        sa.Column("distro_version", sa.String(length=20), nullable=False),
        sa.Column("version", sa.String(length=200), nullable=False),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("arch", sa.String(length=20), nullable=False),
        sa.Column("justification", sa.Text(), nullable=False),
        sa.Column("provenance", sa.Text(), nullable=False),
        sa.Column("file_name", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_by", sa.String(length=40), nullable=True),
        sa.Column("deprocated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deprocated_by", sa.String(length=40), nullable=True),
        sa.Column("created_by", sa.String(length=40), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["distro_version"],
            ["distro_versions.name"],
        ),
        sa.ForeignKeyConstraint(
            ["package"],
            ["packages.name"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("package", "distro_version", "version", "type", "arch", "file_name"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("package_files", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_package_files_file_name"), ["file_name"], unique=False)
        batch_op.create_index(batch_op.f("ix_package_files_sha256"), ["sha256"], unique=False)

    op.create_table(
        "repos",
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("description", sa.String(length=200), nullable=False),
        sa.Column("directory", sa.String(length=50), nullable=False),
        sa.Column("kind", sa.String(length=6), nullable=False),
        sa.Column("tag", sa.String(length=10), nullable=False),
        sa.Column("show_only_latest", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tag"],
            ["tags.name"],
        ),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "required_tags",
        sa.Column("tag", sa.String(length=10), nullable=False),
        sa.Column("required", sa.String(length=10), nullable=False),
        sa.ForeignKeyConstraint(
            ["required"],
            ["tags.name"],
        ),
        sa.ForeignKeyConstraint(
            ["tag"],
            ["tags.name"],
        ),
        sa.PrimaryKeyConstraint("tag", "required"),
    )
    op.create_table(
        "mirror_repos",
        sa.Column("mirror", sa.String(length=50), nullable=False),
        sa.Column("repo", sa.String(length=50), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["mirror"],
            ["mirrors.name"],
        ),
        sa.ForeignKeyConstraint(
            ["repo"],
            ["repos.name"],
        ),
        sa.PrimaryKeyConstraint("mirror", "repo"),
    )
    op.create_table(
        "package_file_tags",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("package_file", sa.Integer(), nullable=False),
        sa.Column("tag", sa.String(length=10), nullable=False),
        sa.Column("by", sa.String(length=40), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("change_control_id", sa.String(length=50), nullable=True),
        sa.ForeignKeyConstraint(
            ["package_file"],
            ["package_files.id"],
        ),
        sa.ForeignKeyConstraint(
            ["tag"],
            ["tags.name"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("package_file", "tag"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("package_file_tags", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_package_file_tags_package_file"), ["package_file"], unique=False)
        batch_op.create_index(batch_op.f("ix_package_file_tags_tag"), ["tag"], unique=False)

    op.create_table(
        "repo_distro_versions",
        sa.Column("repo", sa.String(length=50), nullable=False),
        sa.Column("distro_version", sa.String(length=20), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["distro_version"],
            ["distro_versions.name"],
        ),
        sa.ForeignKeyConstraint(
            ["repo"],
            ["repos.name"],
        ),
        sa.PrimaryKeyConstraint("repo", "distro_version"),
    )
