"""How long a stream waited for its first words: null of one without any, and of all rows of before.

A nullable column without a default: no row is written anew.
"""

from alembic import op

revision = "0017"
down_revision = "0016"

UP = ("alter table usage_requests add column first_word_ms bigint",)

DOWN = ("alter table usage_requests drop column first_word_ms",)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
