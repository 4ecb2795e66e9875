"""Who made a key or an invite, so that it can end with its maker; and since when single requests are kept.

A key may be made by another key, an invite by a member or a key. What exists is filled in from the audit log.

Totals outlive the requests that they count. A request that comes again after its month was dropped must not be counted
again, so `drop_usage_before` writes down since when requests are kept, and sqs_updater takes nothing that is older.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

_DROP_USAGE_BEFORE = """
    create or replace function drop_usage_before(first_kept date) returns setof text language plpgsql
    security definer set search_path = public, pg_temp set lock_timeout = '3s' as $$
    declare
        this_month date := date_trunc('month', now() at time zone 'utc');
        partition text;
        deleted bigint;
    begin
        if first_kept is null or first_kept > this_month then
            raise exception 'first_kept: got %, allowed: % or earlier, since the present month is always kept',
                first_kept, this_month using errcode = 'invalid_parameter_value';
        end if;WRITE_DOWN
        for partition in
            select relname from pg_class join pg_inherits on inhrelid = pg_class.oid
            where inhparent = 'usage_requests'::regclass and relname ~ '^usage_requests_[0-9]{6}$'
                and to_date(right(relname, 6), 'YYYYMM') + interval '1 month' <= first_kept
            order by relname
        loop
            execute format('drop table if exists %I', partition);  -- a peer may have been faster
            return next partition;
        end loop;
        delete from usage_requests_default where (request_id, day) in (
            select request_id, day from usage_requests_default where day < first_kept limit 10000);
        get diagnostics deleted = row_count;
        if deleted > 0 then
            return next format('%s requests of usage_requests_default', deleted);
        end if;
    end $$
"""
_WRITE_DOWN = """
        if exists (select from usage_kept where since < first_kept) then
            -- Writers wait here until the end of this transaction and read then what is written here: none adds a
            -- request of a month that is gone.
            lock table usage_requests in access exclusive mode;
            update usage_kept set since = first_kept where since < first_kept;
        end if;"""

UP = (
    "alter table api_keys add column made_by_key uuid references api_keys",
    """
    alter table invites add column invited_by uuid references users, add column made_by_key uuid references api_keys
    """,
    "create index api_keys_by_maker on api_keys (made_by_key) where made_by_key is not null",
    # A key that rotated itself did not make another one: that one took its place.
    """
    update api_keys set made_by_key = maker.key_id from audit_log join api_keys maker on maker.key_id = actor_id
    where audit_log.action = 'key.create' and audit_log.actor_kind = 'key'
        and audit_log.target = api_keys.key_id::text and maker.project_id = api_keys.project_id
        and maker.replaced_by is distinct from api_keys.key_id
    """,
    """
    update invites set made_by_key = maker.key_id, invited_by = coalesce(users.user_id, maker.created_by)
    from (
        select distinct on (project_id, lower(target)) project_id, target, actor_kind, actor_id, request_id
        from audit_log where action = 'invite.create' order by project_id, lower(target), audit_id desc
    ) as made
    left join api_keys maker on made.actor_kind = 'key' and maker.key_id = made.actor_id
    left join users on made.actor_kind = 'user' and users.user_id = made.actor_id
    where made.project_id = invites.project_id and lower(made.target) = lower(invites.email)
    """,
    # One row. "-infinity": nothing was dropped yet.
    "create table usage_kept (one boolean primary key default true check (one), since date not null)",
    # Days that have totals and no requests were dropped before this migration, with their months.
    """
    insert into usage_kept (since)
    select coalesce(date_trunc('month', max(day)) + interval '1 month', '-infinity')::date from usage_daily
    where requests > 0 and day < (
            select min(to_date(right(relname, 6), 'YYYYMM')) from pg_class join pg_inherits on inhrelid = pg_class.oid
            where inhparent = 'usage_requests'::regclass and relname ~ '^usage_requests_[0-9]{6}$')
        and not exists (select from usage_requests_default where usage_requests_default.day = usage_daily.day)
    """,
    _DROP_USAGE_BEFORE.replace("WRITE_DOWN", _WRITE_DOWN),
)

DOWN = (
    _DROP_USAGE_BEFORE.replace("WRITE_DOWN", ""),
    "drop table usage_kept",
    "alter table invites drop column made_by_key, drop column invited_by",
    "drop index api_keys_by_maker",
    "alter table api_keys drop column made_by_key",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
