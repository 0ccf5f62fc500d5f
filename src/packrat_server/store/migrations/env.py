"""Runs the migrations on the connection that the caller hands over, in its transaction.

Takes: the connection among the configuration's attributes.
Gives: nothing.
Touches: the database.
"""

from alembic import context

from packrat_server.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
context.run_migrations()
