"""Usage: one row per request, partitioned by month, and the daily rollups that move together with them.

`day` is the UTC day of `started_ms`. No foreign keys to projects or keys: usage outlives them, and a reading must never
wait for a row of another table. A rollup is keyed by what is fixed at admission and has few values: day, project, key,
service, endpoint (a path without its free part). Tags have many; they are counted from the requests.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

UP = (
    """
    create table usage_requests (
        request_id uuid not null,
        day date not null,
        started_ms bigint not null,
        project_id uuid not null,
        key_id uuid not null,
        service text not null,
        lane text not null,
        path text not null,
        endpoint text not null generated always as (
            case when path in ('/v1/listen', '/listen/v1') then '/v1/listen'
                 when path in ('/v1/listen/pcm', '/listen/v1/pcm') then '/v1/listen/pcm'
                 when path = '/transcribe' or path like '/transcribe/%' then '/transcribe'
                 else 'other' end) stored,
        tags text[] not null,
        rank smallint not null check (rank in (0, 1, 2)),
        seq bigint not null,
        audio_ms bigint not null check (audio_ms >= 0),
        audio_source text not null,
        channels integer not null,
        connection_ms bigint not null check (connection_ms >= 0),
        bytes_in bigint not null check (bytes_in >= 0),
        bytes_out bigint not null check (bytes_out >= 0),
        status integer not null,
        close_code integer,
        updated timestamptz not null default now(),
        primary key (request_id, day)
    ) partition by range (day)
    """,
    # Whatever belongs to a month that has no partition yet; make_usage_partition moves it out again.
    "create table usage_requests_default partition of usage_requests default",
    "create index usage_requests_by_project on usage_requests (project_id, started_ms, request_id)",
    # Few rows at any time: the requests that have not ended. Orphans are found here.
    "create index usage_requests_open on usage_requests (updated) where rank = 0",
    """
    create table usage_daily (
        project_id uuid not null,
        day date not null,
        key_id uuid not null,
        service text not null,
        endpoint text not null,
        requests bigint not null,
        audio_ms bigint not null,
        connection_ms bigint not null,
        bytes_in bigint not null,
        bytes_out bigint not null,
        primary key (project_id, day, key_id, service, endpoint)
    ) with (fillfactor = 70)
    """,
    # A month's partition, made whether or not readings of that month came first; true if it was made now.
    """
    create function make_usage_partition(any_day date) returns boolean language plpgsql as $$
    declare
        first_day date := date_trunc('month', any_day);
        next_month date := first_day + interval '1 month';
        partition text := 'usage_requests_' || to_char(first_day, 'YYYYMM');
        moved text;
    begin
        if to_regclass(partition) is not null then
            return false;
        end if;
        -- Writers wait here until the end of this transaction: none may add to the default meanwhile.
        lock table usage_requests in access exclusive mode;
        if to_regclass(partition) is not null then
            return false;
        end if;
        execute format('create table %I (like usage_requests including defaults including constraints '
                       'including generated including storage)', partition);
        select string_agg(quote_ident(attname), ', ' order by attnum) into moved from pg_attribute
            where attrelid = 'usage_requests'::regclass and attnum > 0 and not attisdropped and attgenerated = '';
        execute format('with gone as (delete from usage_requests_default where day >= %L and day < %L returning *) '
                       'insert into %I (%s) select %s from gone', first_day, next_month, partition, moved, moved);
        execute format('alter table usage_requests attach partition %I for values from (%L) to (%L)',
                       partition, first_day, next_month);
        return true;
    end $$
    """,
    # This month's and the next three; the backend keeps making them.
    """
    select make_usage_partition(((now() at time zone 'utc')::date + months * interval '1 month')::date)
    from generate_series(0, 3) as months
    """,
)

DOWN = (
    "drop table usage_daily",
    "drop table usage_requests",
    "drop function make_usage_partition(date)",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
