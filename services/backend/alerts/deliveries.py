"""The deliveries of events, and what became of them: statements on the connection that they are given.

Deliveries of one webhook or person are a lane. A process takes some of each lane that has any due, however much
another one has: who does not respond delays nobody else. What is taken is due again when its time is over, so whatever
a dead process had is sent by another: at least once, under the same id.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from aldea.postgres import Connection
from aldea.rows import Query
from backend.alerts.events import Type

Kind = Literal["webhook", "mail"]
State = Literal["waiting", "delivered", "failed"]

# Of one lane at a time. It is looked at again when these have ended.
OF_A_LANE: Final = 4
# Attempts that are kept of a delivery: all that are made of one in a day. What is kept of each response there.
HISTORY: Final = 10
EXCERPT_CHARACTERS: Final = 200
# An attempt is given up far sooner; after that, the process that took the delivery must have died.
CLAIM_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this process is to attempt now. `attempts`: with this one. `created`: of the event."""

    delivery_id: str
    claim: str
    lane: str
    kind: Kind
    attempts: int
    event_id: str
    type: Type
    project_id: str | None
    account_id: str
    created: datetime
    data: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery, and what its last attempt came to. `took_ms`, `status`, `response`: of the receiver's response.

    `history`: JSON, what the newest attempts came to, oldest first.
    """

    delivery_id: str
    event_id: str
    type: Type
    state: State
    attempts: int
    created: datetime
    due: datetime
    attempted: datetime | None
    took_ms: int | None
    status: int | None
    response: str | None
    error: str | None
    history: str


# The lanes with something to send are walked along the index, one step each: the work is as large as their number,
# however many deliveries one of them has.
_CLAIM: Final = Query(
    Claimed,
    f"""
    with recursive lanes as (
        (select lane from alert_deliveries where state = 'waiting' order by lane limit 1)
        union all
        select (
            select next.lane from alert_deliveries as next
            where next.state = 'waiting' and next.lane > lanes.lane order by next.lane limit 1)
        from lanes where lane is not null
    ), due as (
        select delivery_id from lanes cross join lateral (
            select delivery_id, due from alert_deliveries as one
            where one.lane = lanes.lane and state = 'waiting' and due <= now() order by due limit {OF_A_LANE}
        ) as first
        where lane is not null and lane <> all($3::uuid[]) order by due limit $1
    ), taken as (
        select delivery_id from alert_deliveries
        where delivery_id in (select delivery_id from due) and state = 'waiting' and due <= now()
        for update skip locked
    ), claimed as (
        update alert_deliveries set claim = $2, attempts = attempts + 1, attempted = now(),
            due = now() + interval '{CLAIM_SECONDS} s'
        where delivery_id in (select delivery_id from taken)
        returning delivery_id, claim, lane, kind, attempts, event_id
    )
    select delivery_id::text, claim::text, lane::text, kind, attempts, event_id::text, type, project_id::text,
        account_id::text, created, data::text
    from claimed join alert_events using (event_id)
    """,  # noqa: S608 - a constant
)
_SHOWN: Final = """
    delivery_id::text, event_id::text, type, state, attempts, deliveries.created, due, attempted, took_ms, status,
    response, error, history::text
"""
_PAGE: Final = Query(
    Delivery,
    f"""
    select {_SHOWN} from alert_deliveries as deliveries join alert_events using (event_id)
    where lane = $1 and ($2::uuid is null or delivery_id < $2) and ($3::text is null or state = $3)
    order by delivery_id desc limit $4
    """,  # noqa: S608 - a constant
)
_ONE: Final = Query(
    Delivery,
    f"""
    select {_SHOWN} from alert_deliveries as deliveries join alert_events using (event_id)
    where lane = $1 and delivery_id = $2
    """,  # noqa: S608 - a constant
)
_SETTLE: Final = f"""
    update alert_deliveries set state = $3, due = coalesce(now() + $4::float8 * interval '1 s', due),
        took_ms = $5::integer, status = $6::smallint, response = $7::text, error = $8::text, claim = null,
        history = case when jsonb_array_length(history) < {HISTORY} then history else history - 0 end
            || jsonb_build_array(jsonb_build_object(
                'attempted', attempted, 'took_ms', $5::integer, 'status', $6::smallint,
                'response', left($7::text, {EXCERPT_CHARACTERS}), 'error', $8::text))
    where delivery_id = $1 and claim = $2 returning true
"""  # noqa: S608 - a constant


async def claim(connection: Connection, most: int, token: str, busy: Collection[str]) -> list[Claimed]:
    """Take deliveries that are due, of lanes that are not `busy`. `token`: a new UUID."""
    return await _CLAIM.all(connection, most, token, list(busy))


async def settle(
    connection: Connection,
    taken: Claimed,
    state: State,
    *,
    again_seconds: float | None = None,
    took_ms: int | None = None,
    status: int | None = None,
    response: str | None = None,
    error: str | None = None,
) -> bool:
    """Write what became of an attempt; False: somebody else has the delivery since, or it was deleted."""
    return bool(
        await connection.fetchval(
            _SETTLE, taken.delivery_id, taken.claim, state, again_seconds, took_ms, status, response, error
        )
    )


async def page(
    connection: Connection, lane: str, before: str | None, state: State | None, limit: int
) -> list[Delivery]:
    """A webhook's deliveries, newest first, older than the delivery `before`."""
    return await _PAGE.all(connection, lane, before, state, limit)


async def one(connection: Connection, lane: str, delivery_id: str) -> Delivery | None:
    """A delivery of a webhook."""
    return await _ONE.first(connection, lane, delivery_id)


async def send_again(connection: Connection, lane: str, delivery_id: str) -> bool:
    """Let a delivery be tried from the first attempt on; False: it is none of this webhook."""
    return bool(
        await connection.fetchval(
            """
            update alert_deliveries set state = 'waiting', attempts = 0, due = now(), claim = null
            where lane = $1 and delivery_id = $2 returning true
            """,
            lane,
            delivery_id,
        )
    )


async def give_up(connection: Connection, lane: str, why: str) -> None:
    """End whatever waits for a webhook."""
    await connection.execute(
        """
        update alert_deliveries set state = 'failed', claim = null, error = coalesce(error, $2)
        where lane = $1 and state = 'waiting'
        """,
        lane,
        why,
    )


async def forget(connection: Connection, lane: str) -> None:
    """Delete a webhook's deliveries, with it."""
    await connection.execute("delete from alert_deliveries where lane = $1", lane)
