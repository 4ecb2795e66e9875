"""Requests that were sent with an `Idempotency-Key`, for a day each, and their responses, encrypted.

`name` and `fingerprint` are hashes of the request, `sealed` is encrypted under what only the request itself has.
"""

from alembic import op

revision = "0016"
down_revision = "0015"

UP = (
    # `attempt`: which of the requests with this key carries it out, `until` then at the latest.
    """
    create table idempotency_keys (
        name bytea primary key check (length(name) = 32),
        fingerprint bytea not null check (length(fingerprint) = 32),
        attempt uuid not null,
        until timestamptz not null,
        carried_out boolean not null default false,
        status smallint,
        sealed bytea,
        expires timestamptz not null
    )
    """,
    "create index idempotency_keys_by_expiry on idempotency_keys (expires)",
)

DOWN = ("drop table idempotency_keys",)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
