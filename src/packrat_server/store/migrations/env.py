"""Runs the migrations in the caller's transaction, on the connection in the attributes of the configuration."""

from alembic import context

from packrat_server.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
context.run_migrations()
