"""Statements of billing accounts by month, which are only ever added to: a closed month is never changed."""

from alembic import op

revision = "0014"
down_revision = "0013"

_APPEND_ONLY = """
    create trigger {table}_append_only before update or delete on {table}
    for each row execute function refuse_change()
"""
_NO_TRUNCATE = """
    create trigger {table}_no_truncate before truncate on {table}
    for each statement execute function refuse_change()
"""

UP = (
    # `month`: its first day. Amounts in micro-dollars.
    """
    create table statements (
        account_id uuid references billing_accounts,
        month date check (extract(day from month) = 1),
        opening_micros bigint not null,
        closing_micros bigint not null,
        closed timestamptz not null default now(),
        primary key (account_id, month)
    )
    """,
    # `day` may be of an earlier month: what came after that one's closing. No model: an empty text.
    """
    create table statement_lines (
        account_id uuid,
        month date,
        day date,
        project_id uuid,
        service text,
        model text,
        requests bigint not null,
        audio_ms bigint not null,
        charge_micros bigint not null,
        primary key (account_id, month, day, project_id, service, model),
        foreign key (account_id, month) references statements
    )
    """,
    "create index statement_lines_by_project on statement_lines (project_id, day)",
    *(each.format(table=table) for table in ("statements", "statement_lines") for each in (_APPEND_ONLY, _NO_TRUNCATE)),
)

DOWN = ("drop table statement_lines", "drop table statements")


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
