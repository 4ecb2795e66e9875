"""Accounts, projects, members, keys, credits, audit: everything but usage.

Times are timestamptz. Whatever Redis mirrors carries a `revision` from one sequence, set anew by each change while the
row is locked, so that of two writers to Redis the later change wins whatever order they arrive in. Secrets stand
as the hex SHA-256 of their text; passwords as argon2id. Projects, keys and sessions are ended, not deleted: usage and
audit name them, and a revocation must stay known.
"""

from alembic import op

revision = "0001"
down_revision = None

UP = (
    "create sequence revisions",
    """
    create table users (
        user_id uuid primary key default uuidv7(),
        email text not null,
        email_key text not null unique,
        name text not null,
        password_hash text not null,
        operator boolean not null default false,
        created timestamptz not null default now(),
        password_changed timestamptz not null default now()
    )
    """,
    """
    create table sessions (
        sha256 text primary key check (sha256 ~ '^[0-9a-f]{64}$'),
        user_id uuid not null references users,
        created timestamptz not null default now(),
        expires timestamptz not null,
        ended timestamptz,
        revision bigint not null default nextval('revisions')
    )
    """,
    "create index sessions_by_user on sessions (user_id)",
    "create index sessions_by_expiry on sessions (expires)",
    """
    create table password_resets (
        sha256 text primary key check (sha256 ~ '^[0-9a-f]{64}$'),
        user_id uuid not null references users,
        issued_by uuid not null references users,
        created timestamptz not null default now(),
        expires timestamptz not null,
        used timestamptz
    )
    """,
    "create index password_resets_by_user on password_resets (user_id)",
    """
    create table projects (
        project_id uuid primary key default uuidv7(),
        name text not null,
        state text not null default 'active' check (state in ('active', 'suspended')),
        requests_per_minute integer check (requests_per_minute > 0),
        concurrent_streams integer check (concurrent_streams > 0),
        monthly_audio_seconds bigint check (monthly_audio_seconds >= 0),
        created timestamptz not null default now(),
        deleted timestamptz,
        revision bigint not null default nextval('revisions')
    )
    """,
    "create index projects_by_revision on projects (revision)",
    """
    create table memberships (
        project_id uuid not null references projects,
        user_id uuid not null references users,
        role text not null check (role in ('owner', 'admin', 'member')),
        created timestamptz not null default now(),
        primary key (project_id, user_id)
    )
    """,
    "create index memberships_by_user on memberships (user_id)",
    """
    create table invites (
        project_id uuid not null references projects,
        email_key text not null,
        email text not null,
        role text not null check (role in ('owner', 'admin', 'member')),
        sha256 text not null unique check (sha256 ~ '^[0-9a-f]{64}$'),
        created timestamptz not null default now(),
        expires timestamptz not null,
        primary key (project_id, email_key)
    )
    """,
    """
    create table api_keys (
        key_id uuid primary key default uuidv7(),
        project_id uuid not null references projects,
        sha256 text not null unique check (sha256 ~ '^[0-9a-f]{64}$'),
        last4 text not null,
        comment text not null,
        scopes text[] not null,
        tags text[] not null default '{}',
        created timestamptz not null default now(),
        created_by uuid references users,
        expires timestamptz,
        revoked timestamptz,
        last_used timestamptz,
        replaced_by uuid references api_keys,
        revision bigint not null default nextval('revisions')
    )
    """,
    "create index api_keys_by_project on api_keys (project_id, key_id)",
    "create index api_keys_by_revision on api_keys (revision)",
    """
    create table credits (
        credit_id uuid primary key default uuidv7(),
        project_id uuid not null references projects,
        amount_micros bigint not null,
        note text not null,
        created timestamptz not null default now()
    )
    """,
    "create index credits_by_project on credits (project_id)",
    """
    create table audit_log (
        audit_id bigint generated always as identity primary key,
        project_id uuid,
        at timestamptz not null default now(),
        actor_kind text not null check (actor_kind in ('user', 'key', 'operator', 'system')),
        actor_id uuid,
        action text not null,
        target text not null,
        detail jsonb not null default '{}',
        request_id uuid
    )
    """,
    "create index audit_log_by_project on audit_log (project_id, audit_id)",
)

DOWN = (
    "drop table audit_log",
    "drop table credits",
    "drop table api_keys",
    "drop table invites",
    "drop table memberships",
    "drop table projects",
    "drop table password_resets",
    "drop table sessions",
    "drop table users",
    "drop sequence revisions",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
