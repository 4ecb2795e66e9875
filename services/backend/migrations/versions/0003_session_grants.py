"""What sessions grant tokens by: one row per session and project, whose hash is the tokens' parent in Redis.

A token of a session must end when the session ends, and also when its user leaves the project; a session by itself says
nothing of projects. The hash is random: it is the name of a record, and no text has it.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

UP = (
    """
    create table session_grants (
        sha256 text primary key check (sha256 ~ '^[0-9a-f]{64}$'),
        session_sha256 text not null references sessions on delete cascade,
        user_id uuid not null references users,
        project_id uuid not null references projects,
        expires timestamptz not null,
        revoked timestamptz,
        revision bigint not null default nextval('revisions')
    )
    """,
    "create unique index session_grants_good on session_grants (session_sha256, project_id) where revoked is null",
    "create index session_grants_by_session on session_grants (session_sha256)",
    "create index session_grants_by_user on session_grants (user_id, project_id)",
)

DOWN = ("drop table session_grants",)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
