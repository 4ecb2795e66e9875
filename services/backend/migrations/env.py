"""What alembic runs for each command: the migrations, on the connection that `backend.schema.migrate` has opened."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=None,
    transactional_ddl=True,
    # One transaction each: a failing migration leaves the ones before it standing, and itself without a trace.
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
