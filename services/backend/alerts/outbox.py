"""The outbox: an event is written in the transaction of what it is about, and with it whom it goes to."""

from collections.abc import Collection, Sequence
from typing import Final

from aldea.postgres import Connection
from backend.alerts.events import MAILED, Event
from backend.api.endpoint import json_text

# Mails to one person in a day. Somebody signed up with an address that may be a stranger's.
MAILS_A_DAY: Final = 20

# Events that have happened are passed over, so that nothing is written where nothing is new. An account's event goes to
# the webhooks of all its projects and to its owner; a project's to its own, and to its owners.
_ADD: Final = f"""
with given as (
    select one.type, coalesce(one.account_id, projects.account_id) as account_id, one.project_id, one.dedup, one.data
    from jsonb_to_recordset($1::text::jsonb)
        as one (type text, account_id uuid, project_id uuid, dedup text, data jsonb)
    left join projects on projects.project_id = one.project_id
    where one.dedup is null or not exists (select from alert_events where alert_events.dedup = one.dedup)
), made as (
    insert into alert_events (type, account_id, project_id, dedup, data)
    select type, account_id, project_id, dedup, data from given where account_id is not null order by dedup
    on conflict (dedup) do nothing
    returning event_id, type, account_id, project_id
), concerned as (
    select event_id, type, project_id from made where project_id is not null
    union all
    select event_id, type, projects.project_id from made join projects using (account_id)
    where made.project_id is null and projects.deleted is null
), hooked as (
    insert into alert_deliveries (event_id, lane, kind)
    select event_id, endpoint_id, 'webhook' from concerned join alert_endpoints using (project_id)
    where disabled is null and (types is null or type = any(types))
), owners as (
    select distinct event_id, user_id from made join memberships using (project_id)
    where role = 'owner' and type = any($2)
    union
    select event_id, owner_id from made join billing_accounts using (account_id)
    where project_id is null and owner_id is not null and type = any($2)
), mailed as (
    insert into alert_deliveries (event_id, lane, kind)
    select event_id, user_id, 'mail' from owners
    where (
        select count(*) from alert_deliveries
        where lane = user_id and alert_deliveries.created > now() - interval '1 day') < {MAILS_A_DAY}
)
select count(*)::int from made
"""  # noqa: S608 - a constant


async def add(connection: Connection, events: Sequence[Event]) -> int:
    """Write events inside the caller's transaction, and their deliveries; how many had not happened before."""
    if not events:
        return 0
    objects = [event.to_object() for event in events]
    return int(await connection.fetchval(_ADD, json_text(objects), list(MAILED)))


async def look_again(connection: Connection, project_ids: Collection[str]) -> None:
    """Let the thresholds of these projects and of their accounts be looked at, though nothing was used."""
    if project_ids:
        await connection.execute("insert into alert_moves (project_id) select unnest($1::uuid[])", sorted(project_ids))
