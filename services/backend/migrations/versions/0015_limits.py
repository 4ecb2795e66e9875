"""Limits of keys, of billing accounts, and the owner's own of a project, beside those of a project's plan.

What is null does not limit. A budget is of a UTC month, in micro-dollars of charges. The view `monthly_limits` says for
each month's limit how much of it is used: whoever warns reads it there.

An account's audio of a month is limited from here on to what its projects had together: another project brings no more.
"""

from alembic import op

revision = "0015"
down_revision = "0014"

_LIMITS = """
    alter table {table}
        add column {prefix}requests_per_minute integer check ({prefix}requests_per_minute between 1 and 1000000),
        add column {prefix}concurrent_streams integer check ({prefix}concurrent_streams between 1 and 1000000),
        add column {prefix}monthly_audio_seconds bigint
            check ({prefix}monthly_audio_seconds between 0 and 100000000000),
        add column monthly_budget_micros bigint check (monthly_budget_micros between 0 and 1000000000000)
"""

UP = (
    _LIMITS.format(table="api_keys", prefix=""),
    _LIMITS.format(table="projects", prefix="own_"),
    _LIMITS.format(table="billing_accounts", prefix=""),
    # The key whose limits and counts hold for this one too: that of which it is a successor, or which made it and was
    # limited itself. A budget does not come back with another key.
    "alter table api_keys add column limited_as uuid references api_keys",
    "create index api_keys_by_limits on api_keys (limited_as) where limited_as is not null",
    """
    update billing_accounts as account set monthly_audio_seconds = least(allowed.seconds, 100000000000)
    from (
        select account_id, case when bool_and(monthly_audio_seconds is not null) then sum(monthly_audio_seconds) end
            as seconds
        from projects where deleted is null group by account_id
    ) as allowed
    where allowed.account_id = account.account_id
    """,
    # `subject`: key, project or account; an account has no `project_id`. `audio_limit_ms`, `budget_micros`: null: none.
    """
    create view monthly_limits as
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
    """,
)

_DROP = """
    alter table {table}
        drop column {prefix}requests_per_minute, drop column {prefix}concurrent_streams,
        drop column {prefix}monthly_audio_seconds, drop column monthly_budget_micros
"""

DOWN = (
    "drop view monthly_limits",
    "alter table api_keys drop column limited_as",
    _DROP.format(table="billing_accounts", prefix=""),
    _DROP.format(table="projects", prefix="own_"),
    _DROP.format(table="api_keys", prefix=""),
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
