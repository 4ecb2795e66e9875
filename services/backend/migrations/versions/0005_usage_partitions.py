"""Partitions as the backend keeps them: two functions that act as the tables' owner, and nothing else of DDL.

The backend signs in as a role that owns no table. What it must do every month (make the partitions of months to come,
drop those of months that are kept no more) it does through functions with their owner's rights, which can do just that:
the one makes a month, the other refuses to drop the present one. Both may be called from many tasks at once, and give
up after a short wait for a lock, since readers and writers queue behind it.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

# search_path is fixed, as every function with its owner's rights must have it
# (https://www.postgresql.org/docs/18/sql-createfunction.html#SQL-CREATEFUNCTION-SECURITY).
UP = (
    """
    alter function make_usage_partition(date)
    security definer set search_path = public, pg_temp set lock_timeout = '3s'
    """,
    # Drops whole months that lie before `first_kept`, and of the default partition what is as old, so many rows a call.
    # Returns what it dropped.
    """
    create function drop_usage_before(first_kept date) returns setof text language plpgsql
    security definer set search_path = public, pg_temp set lock_timeout = '3s' as $$
    declare
        this_month date := date_trunc('month', now() at time zone 'utc');
        partition text;
        deleted bigint;
    begin
        if first_kept is null or first_kept > this_month then
            raise exception 'first_kept: got %, allowed: % or earlier, since the present month is always kept',
                first_kept, this_month using errcode = 'invalid_parameter_value';
        end if;
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
    """,
    "revoke execute on function make_usage_partition(date), drop_usage_before(date) from public",
)

DOWN = (
    "drop function drop_usage_before(date)",
    "alter function make_usage_partition(date) security invoker reset search_path reset lock_timeout",
    "grant execute on function make_usage_partition(date) to public",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
