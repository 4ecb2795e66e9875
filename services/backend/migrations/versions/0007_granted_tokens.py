"""Short-lived tokens beside Redis, where they are checked: an emptied Redis has them back with the keys.

`fields`: the token's record, all but when it expires. A row is of no use after that, an hour at most, and is deleted.
"""

from alembic import op

revision = "0007"
down_revision = "0006"

UP = (
    """
    create table granted_tokens (
        sha256 text primary key check (sha256 ~ '^[0-9a-f]{64}$'),
        fields jsonb not null,
        expires timestamptz not null
    )
    """,
    "create index granted_tokens_by_expiry on granted_tokens (expires)",
)

DOWN = ("drop table granted_tokens",)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
