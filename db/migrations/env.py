"""Alembic runs this file; `db.upgrade` hands it the connection and its open transaction.

There is no alembic.ini and no logging is set up here. Batch mode is on because SQLite can
rebuild a table but hardly alter one.
"""

from alembic import context

from db.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
