"""How often another STT server took a stream over.

A constant default: no row is written anew.
"""

from alembic import op

revision = "0012"
down_revision = "0011"

UP = ("alter table usage_requests add column failovers integer not null default 0",)

DOWN = ("alter table usage_requests drop column failovers",)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
