"""The newer addresses of the speech API have endpoints of their own in the usage; they were counted as `other`.

Every request is written anew, under a lock: readings wait in the queue meanwhile, and usage cannot be read. Totals of
days whose requests were dropped stay as they are.
"""

from alembic import op

revision = "0018"
down_revision = "0017"

_OWN = ("/v2/listen", "/v1/realtime", "/v1/audio/transcriptions")
_SUMS = ("requests", "audio_ms", "connection_ms", "bytes_in", "bytes_out", "charge_micros")

_ENDPOINT = """
    alter table usage_requests alter column endpoint set expression as (
        case when path in ('/v1/listen', '/listen/v1') then '/v1/listen'
             when path in ('/v1/listen/pcm', '/listen/v1/pcm') then '/v1/listen/pcm'
             when path = '/transcribe' or path like '/transcribe/%' then '/transcribe'
             {own}
             else 'other' end)
"""
# In the transaction that holds the lock on the requests, so that no reading comes between.
_MOVE = """
    with counted as (
        select project_id, day, key_id, service, path as endpoint, count(*) as requests,
            sum(audio_ms)::bigint as audio_ms, sum(connection_ms)::bigint as connection_ms,
            sum(bytes_in)::bigint as bytes_in, sum(bytes_out)::bigint as bytes_out,
            sum(charge_micros)::bigint as charge_micros
        from usage_requests where path in ({own})
        group by project_id, day, key_id, service, path
    ), added as (
        insert into usage_daily (project_id, day, key_id, service, endpoint, {names})
        select project_id, day, key_id, service, endpoint, {names} from counted
    ), taken as (
        select project_id, day, key_id, service, {sums} from counted group by project_id, day, key_id, service
    )
    update usage_daily as daily set {less} from taken
    where (daily.project_id, daily.day, daily.key_id, daily.service, daily.endpoint)
        = (taken.project_id, taken.day, taken.key_id, taken.service, 'other')
"""
# The other way round: what has an endpoint of its own is added to `other`.
_MERGE = """
    insert into usage_daily as daily (project_id, day, key_id, service, endpoint, {names})
    select project_id, day, key_id, service, 'other', {sums} from usage_daily where endpoint in ({own})
    group by project_id, day, key_id, service
    on conflict (project_id, day, key_id, service, endpoint) do update set {more}
"""


def upgrade() -> None:
    own = ", ".join(f"'{path}'" for path in _OWN)
    names, sums = ", ".join(_SUMS), ", ".join(f"sum({name})::bigint as {name}" for name in _SUMS)
    op.execute(_ENDPOINT.format(own=f"when path in ({own}) then path"))
    less = ", ".join(f"{name} = daily.{name} - taken.{name}" for name in _SUMS)
    op.execute(_MOVE.format(own=own, names=names, sums=sums, less=less))
    op.execute("delete from usage_daily where endpoint = 'other' and requests = 0")


def downgrade() -> None:
    own = ", ".join(f"'{path}'" for path in _OWN)
    names, sums = ", ".join(_SUMS), ", ".join(f"sum({name})::bigint" for name in _SUMS)
    more = ", ".join(f"{name} = daily.{name} + excluded.{name}" for name in _SUMS)
    op.execute(_ENDPOINT.format(own=""))
    op.execute(_MERGE.format(own=own, names=names, sums=sums, more=more))
    op.execute(f"delete from usage_daily where endpoint in ({own})")  # noqa: S608 - constants
