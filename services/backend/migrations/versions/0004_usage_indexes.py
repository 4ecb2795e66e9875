"""Indexes for what can be asked about usage: by key, by tag, what failed, a day of all projects.

A page is found by an index that begins with the project and ends in the page's order, so its price does not grow with
the table. Writers wait while they are built (some seconds a million rows); readings lie in the queue meanwhile.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

UP = (
    "create index usage_requests_by_key on usage_requests (project_id, key_id, started_ms, request_id)",
    # The condition is FAILED in backend/usage/repository.py; a test compares them.
    """
    create index usage_requests_failed on usage_requests (project_id, started_ms, request_id)
    where (status >= 400 or coalesce(close_code, 0) in (1002, 1003, 1007, 1008, 1009, 1011))
    """,
    "create index usage_requests_by_tag on usage_requests using gin (tags) where tags <> '{}'",
    # A day of all projects, for reconciliation. Rows arrive in the order of days, so a summary per block range will do:
    # a thousandth of a B-tree's size, and nothing to pay for at most writes.
    "create index usage_requests_by_day on usage_requests using brin (day) with (autosummarize = on)",
    # A month of all projects, which key_sync asks for every ten seconds.
    "create index usage_daily_by_day on usage_daily (day)",
)

DOWN = (
    "drop index usage_daily_by_day",
    "drop index usage_requests_by_day",
    "drop index usage_requests_by_tag",
    "drop index usage_requests_failed",
    "drop index usage_requests_by_key",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
