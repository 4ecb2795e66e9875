"""The status page: a row for each run of the canary, kept for some months, and the incidents that operators publish.

A run that is reported twice is one row: its key is when it began, and the canary's API key.
"""

from alembic import op

revision = "0022"
down_revision = "0021"

UP = (
    """
    create table canary_runs (
        began timestamptz not null,
        key_id uuid not null,
        stream boolean,
        upload boolean,
        usage boolean,
        first_words_ms integer,
        last_words_ms integer,
        usage_lag_ms integer,
        primary key (began, key_id)
    )
    """,
    """
    create table incidents (
        incident_id uuid primary key default uuidv7(),
        title text not null,
        impact text not null check (impact in ('maintenance', 'minor', 'major')),
        components text[] not null,
        began timestamptz not null default now(),
        resolved timestamptz
    )
    """,
    # By the time of their end, the open ones apart.
    "create index incidents_by_end on incidents (resolved)",
    """
    create table incident_updates (
        update_id uuid primary key default uuidv7(),
        incident_id uuid not null references incidents,
        state text not null check (state in ('investigating', 'identified', 'monitoring', 'resolved')),
        message text not null,
        at timestamptz not null default now()
    )
    """,
    "create index incident_updates_by_incident on incident_updates (incident_id, update_id)",
)

DOWN = ("drop table incident_updates", "drop table incidents", "drop table canary_runs")


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
