"""Which trace a request is of: null of one that was not recorded, and of all rows of before.

A nullable column without a default: no row is written anew.
"""

from alembic import op

revision = "0021"
down_revision = "0020"

UP = ("alter table usage_requests add column trace_id text",)

DOWN = ("alter table usage_requests drop column trace_id",)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
