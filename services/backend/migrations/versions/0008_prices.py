"""Who pays, what an hour costs, and what each request is charged: billing accounts, the price book, frozen charges.

Every person has a billing account, and every project belongs to one: an existing project to that of its first owner.
The plan decides which prices apply; accounts that exist are `prepaid` and keep their projects' limits.

The price book's first prices are the setting PRICE_PER_HOUR_USD as `migrate` finds it, for every plan and service,
since ever. All requests that are stored were billed at that one price, so they are charged at it now, each rounded
once, half up. Totals whose requests were dropped are charged as one. From here on the setting changes nothing any more.

A row that an sqs_updater of the release before writes after this migration has no price. The next reading of its
request gives it one, or `reconcile` of its day.
"""

from typing import Any

from alembic import op

revision = "0008"
down_revision = "0007"

# What is only ever added to refuses everything else, also from its owner; see backend/schema/roles.py for the others.
_APPEND_ONLY = """
    create trigger {table}_append_only before update or delete on {table}
    for each row execute function refuse_change()
"""
_NO_TRUNCATE = """
    create trigger {table}_no_truncate before truncate on {table}
    for each statement execute function refuse_change()
"""
# Made as generated columns, which then stay as they are: the tables are written anew once, where an update would leave
# a dead copy of each row behind.
_GENERATED = """
    alter table usage_requests
        add column price_id integer
            generated always as (case service when 'streaming' then {streaming} else {other} end) stored,
        add column charge_micros bigint not null
            generated always as (charge_micros(audio_ms, {micros_per_hour})) stored
"""

UP = (
    """
    create table billing_accounts (
        account_id uuid primary key default uuidv7(),
        owner_id uuid unique references users,
        plan text not null default 'free' check (plan in ('free', 'prepaid', 'postpaid')),
        created timestamptz not null default now()
    )
    """,
    "insert into billing_accounts (owner_id, plan) select user_id, 'prepaid' from users order by user_id",
    "alter table projects add column account_id uuid references billing_accounts",
    """
    update projects set account_id = account.account_id
    from (
        select distinct on (project_id) project_id, user_id from memberships where role = 'owner'
        order by project_id, created, user_id
    ) as first_owner join billing_accounts as account on account.owner_id = first_owner.user_id
    where first_owner.project_id = projects.project_id
    """,
    # A project that lost its last owner has an account that nobody owns.
    """
    do $$
    declare
        orphan uuid;
        made uuid;
    begin
        for orphan in select project_id from projects where account_id is null order by project_id loop
            insert into billing_accounts (plan) values ('prepaid') returning account_id into made;
            update projects set account_id = made where project_id = orphan;
        end loop;
    end $$
    """,
    "alter table projects alter column account_id set not null",
    "create index projects_by_account on projects (account_id)",
    # All that sqs_updater may know of projects.
    """
    create view billed_projects as
    select project_id, account_id, plan from projects join billing_accounts using (account_id)
    """,
    # Rounding is here and in backend/usage/money.py, and nowhere else; a test compares the two. Exact: numeric.
    """
    create function charge_micros(audio_ms bigint, micros_per_hour bigint) returns bigint language sql immutable
    parallel safe return div(audio_ms::numeric * micros_per_hour + 1800000, 3600000)::bigint
    """,
    """
    create function refuse_change() returns trigger language plpgsql as $$
    begin
        raise exception '%: rows are only ever added, none is changed or removed', tg_table_name
            using errcode = 'restrict_violation';
    end $$
    """,
    """
    create table prices (
        price_id integer generated always as identity primary key,
        plan text not null check (plan in ('free', 'prepaid', 'postpaid')),
        service text not null check (service in ('streaming', 'prerecorded')),
        model text,
        micros_per_hour bigint not null check (micros_per_hour between 0 and 1000000000),
        effective_from timestamptz not null,
        created timestamptz not null default now(),
        created_by uuid references users,
        unique nulls not distinct (plan, service, model, effective_from)
    )
    """,
)

# Once the first prices are in. A minute: longer than a transaction may take, so that a price is known to everybody
# before the first request begins that it is for.
GUARDS = (
    """
    create function refuse_past_price() returns trigger language plpgsql as $$
    begin
        if new.effective_from < clock_timestamp() + interval '1 minute' then
            raise exception 'effective_from: got %, allowed: a minute from now or later', new.effective_from
                using errcode = 'check_violation';
        end if;
        return new;
    end $$
    """,
    "create trigger prices_begin_later before insert on prices for each row execute function refuse_past_price()",
    _APPEND_ONLY.format(table="prices"),
    _NO_TRUNCATE.format(table="prices"),
)

DOWN = (
    "alter table usage_daily drop column charge_micros",
    "alter table usage_requests drop column price_id, drop column charge_micros",
    "drop table prices",
    "drop function refuse_past_price()",
    "drop function refuse_change()",
    "drop function charge_micros(bigint, bigint)",
    "drop view billed_projects",
    "alter table projects drop column account_id",
    "drop table billing_accounts",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)
    micros_per_hour: int = op.get_context().config.attributes["micros_per_hour"]  # type: ignore[union-attr]
    first = _first_prices(micros_per_hour)
    op.execute(
        _GENERATED.format(streaming=first["streaming"], other=first["prerecorded"], micros_per_hour=micros_per_hour)
    )
    op.execute(
        """
        alter table usage_requests alter column price_id drop expression, alter column charge_micros drop expression,
            alter column charge_micros set default 0
        """
    )
    op.execute("alter table usage_daily add column charge_micros bigint not null default 0")
    op.execute(f"update usage_daily set charge_micros = charge_micros(audio_ms, {micros_per_hour})")  # noqa: S608 - a number
    op.execute(
        """
        update usage_daily as daily set charge_micros = counted.charge_micros
        from (
            select project_id, day, key_id, service, endpoint, sum(charge_micros)::bigint as charge_micros
            from usage_requests group by project_id, day, key_id, service, endpoint
        ) as counted
        where (counted.project_id, counted.day, counted.key_id, counted.service, counted.endpoint)
            = (daily.project_id, daily.day, daily.key_id, daily.service, daily.endpoint)
        """
    )
    for statement in GUARDS:
        op.execute(statement)


def _first_prices(micros_per_hour: int) -> dict[str, Any]:
    """The price of every plan and service since ever; the ids of those that stored requests get, by service."""
    made = op.get_bind().exec_driver_sql(
        f"""
        insert into prices (plan, service, micros_per_hour, effective_from)
        select plan, service, {micros_per_hour}, '-infinity'
        from unnest(array['free', 'prepaid', 'postpaid']) as plan, unnest(array['streaming', 'prerecorded']) as service
        returning price_id, plan, service
        """  # noqa: S608 - a number
    )
    return {row.service: row.price_id for row in made if row.plan == "prepaid"}


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
