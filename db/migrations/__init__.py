"""Alembic's migrations: one file for each version of the schema, in `versions/`."""
