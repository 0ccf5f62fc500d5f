"""Runs the migrations on the connection among the configuration's attributes, in the caller's transaction."""

from alembic import context

from packrat_server.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
context.run_migrations()
