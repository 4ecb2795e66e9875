"""The database schema: migrations, roles, and the version that a task expects."""
