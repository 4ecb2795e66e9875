"""What people signed in from, what each attempt of a delivery came to, and one sum of a month's limits for all readers.

`sign_in_clients`: which program and network an account was signed in from without a known device; a hash, nothing that
can be read. `monthly_use` has what the view `monthly_limits` says, of any month and of chosen accounts alone: whoever
looks at thresholds summed the same again.
"""

from alembic import op

revision = "0023"
down_revision = "0022"

_OF_0015 = """
    create or replace view monthly_limits as
    with used as materialized (
        select project_id, key_id, sum(audio_ms)::bigint as audio_ms, sum(charge_micros)::bigint as charge_micros
        from usage_daily where day >= date_trunc('month', now() at time zone 'utc')::date group by project_id, key_id
    ), by_project as (
        select project_id, sum(audio_ms)::bigint as audio_ms, sum(charge_micros)::bigint as charge_micros
        from used group by project_id
    )
    select 'key' as subject, key_id as subject_id, project_id, account_id,
        limited.monthly_audio_seconds * 1000 as audio_limit_ms, limited.monthly_budget_micros as budget_micros,
        coalesce(audio_ms, 0) as audio_ms, coalesce(charge_micros, 0) as charge_micros
    from api_keys as limited join projects using (project_id) left join (
        select coalesce(limited_as, key_id) as key_id, sum(audio_ms)::bigint as audio_ms,
            sum(charge_micros)::bigint as charge_micros
        from used join api_keys using (project_id, key_id) group by 1
    ) as by_key using (key_id)
    where limited_as is null
        and (limited.monthly_audio_seconds is not null or limited.monthly_budget_micros is not null)
    union all
    select 'project', project_id, project_id, account_id,
        least(monthly_audio_seconds, own_monthly_audio_seconds) * 1000, monthly_budget_micros,
        coalesce(audio_ms, 0), coalesce(charge_micros, 0)
    from projects left join by_project using (project_id)
    where deleted is null
        and coalesce(monthly_audio_seconds, own_monthly_audio_seconds, monthly_budget_micros) is not null
    union all
    select 'account', account_id, null, account_id, account.monthly_audio_seconds * 1000,
        account.monthly_budget_micros, coalesce(audio_ms, 0), coalesce(charge_micros, 0)
    from billing_accounts as account left join (
        select account_id, sum(audio_ms)::bigint as audio_ms, sum(charge_micros)::bigint as charge_micros
        from by_project join projects using (project_id) group by account_id
    ) as by_account using (account_id)
    where account.monthly_audio_seconds is not null or account.monthly_budget_micros is not null
"""

UP = (
    """
    create table sign_in_clients (
        user_id uuid not null references users,
        mark bytea not null,
        seen timestamptz not null default now(),
        primary key (user_id, mark)
    )
    """,
    # The last attempts, oldest first: attempted, took_ms, status, response, error.
    "alter table alert_deliveries add column history jsonb not null default '[]'",
    # `of_accounts`: null: all. `good`: of a key: whether one of those that are counted with it can still be used. What
    # successors of a key used counts for the key whose limits they have (`limited_as`), also after that was revoked.
    """
    create function monthly_use(first_day date, of_accounts uuid[]) returns table (
        subject text, subject_id uuid, project_id uuid, account_id uuid, audio_limit_ms bigint, budget_micros bigint,
        audio_ms bigint, charge_micros bigint, good boolean
    ) language sql stable as $$
        with concerned as materialized (
            select project_id, account_id, deleted, monthly_audio_seconds, own_monthly_audio_seconds,
                monthly_budget_micros
            from projects where of_accounts is null or account_id = any(of_accounts)
        ), used as materialized (
            select project_id, account_id, key_id, sum(audio_ms)::bigint as audio_ms,
                sum(charge_micros)::bigint as charge_micros
            from usage_daily join concerned using (project_id)
            where day >= first_day and day < (first_day + interval '1 month')::date
            group by project_id, account_id, key_id
        ), by_key as (
            select coalesce(limited_as, key_id) as key_id, sum(audio_ms)::bigint as audio_ms,
                sum(charge_micros)::bigint as charge_micros, bool_or(revoked is null) as good
            from used join api_keys using (project_id, key_id) group by coalesce(limited_as, key_id)
        ), by_project as (
            select project_id, sum(audio_ms)::bigint as audio_ms, sum(charge_micros)::bigint as charge_micros
            from used group by project_id
        ), by_account as (
            select account_id, sum(audio_ms)::bigint as audio_ms, sum(charge_micros)::bigint as charge_micros
            from used group by account_id
        )
        select 'key', key_id, project_id, account_id, limited.monthly_audio_seconds * 1000,
            limited.monthly_budget_micros, coalesce(audio_ms, 0), coalesce(charge_micros, 0),
            coalesce(good, revoked is null)
        from api_keys as limited join concerned using (project_id) left join by_key using (key_id)
        where limited_as is null
            and (limited.monthly_audio_seconds is not null or limited.monthly_budget_micros is not null)
        union all
        select 'project', project_id, project_id, account_id,
            least(monthly_audio_seconds, own_monthly_audio_seconds) * 1000, monthly_budget_micros,
            coalesce(audio_ms, 0), coalesce(charge_micros, 0), true
        from concerned left join by_project using (project_id)
        where deleted is null
            and coalesce(monthly_audio_seconds, own_monthly_audio_seconds, monthly_budget_micros) is not null
        union all
        select 'account', account_id, null, account_id, account.monthly_audio_seconds * 1000,
            account.monthly_budget_micros, coalesce(audio_ms, 0), coalesce(charge_micros, 0), true
        from billing_accounts as account left join by_account using (account_id)
        where (of_accounts is null or account_id = any(of_accounts))
            and (account.monthly_audio_seconds is not null or account.monthly_budget_micros is not null)
    $$
    """,
    """
    create or replace view monthly_limits as
    select subject, subject_id, project_id, account_id, audio_limit_ms, budget_micros, audio_ms, charge_micros
    from monthly_use(date_trunc('month', now() at time zone 'utc')::date, null)
    """,
)

DOWN = (
    _OF_0015,
    "drop function monthly_use(date, uuid[])",
    "alter table alert_deliveries drop column history",
    "drop table sign_in_clients",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
