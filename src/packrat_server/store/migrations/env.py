"""Runs the migrations on the connection that the caller hands over.

Takes: the connection among the configuration's attributes.
Gives: nothing.
Touches: the database.
"""

from alembic import context

from packrat_server.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
