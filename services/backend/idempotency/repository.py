"""The table of what was requested with an `Idempotency-Key`: statements on the connection that they are given."""

from dataclasses import dataclass
from typing import Final

from aldea.postgres import Connection
from aldea.rows import Query

# An attempt may run for so long (HANDLER_SECONDS is half of it); after that its process must have died.
ATTEMPT_SECONDS: Final = 60
KEPT_HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored of a key. `status`: of the response, None: there is none (yet); `sealed`: its body."""

    fingerprint: bytes
    carried_out: bool
    running: bool
    status: int | None
    sealed: bytes | None


_STORED: Final = Query(
    Stored,
    """
    select fingerprint, carried_out, until > now() as running, status, sealed from idempotency_keys
    where name = $1 and expires > now()
    """,
)
# A key is free, too, whose attempt died before it had carried anything out.
_BEGIN: Final = f"""
    insert into idempotency_keys as stored (name, fingerprint, attempt, until, expires)
    values ($1, $2, $3, now() + interval '{ATTEMPT_SECONDS} s', now() + interval '{KEPT_HOURS} h')
    on conflict (name) do update set fingerprint = excluded.fingerprint, attempt = excluded.attempt,
        until = excluded.until, expires = excluded.expires, carried_out = false, status = null, sealed = null
    where stored.expires <= now()
        or (stored.status is null and not stored.carried_out and stored.until <= now()
            and stored.fingerprint = excluded.fingerprint)
    returning true
"""  # noqa: S608 - a constant


async def begin(connection: Connection, name: bytes, fingerprint: bytes, attempt: str) -> bool:
    """Take the key for this attempt; False: it was used, see `stored`."""
    return bool(await connection.fetchval(_BEGIN, name, fingerprint, attempt))


async def stored(connection: Connection, name: bytes) -> Stored | None:
    """What is stored of a key."""
    return await _STORED.first(connection, name)


async def carried_out(connection: Connection, name: bytes, attempt: str) -> bool:
    """Note in the transaction of the change that it is made; False: the key is another attempt's now."""
    return bool(
        await connection.fetchval(
            "update idempotency_keys set carried_out = true where name = $1 and attempt = $2 returning true",
            name,
            attempt,
        )
    )


async def finish(connection: Connection, name: bytes, attempt: str, status: int, sealed: bytes) -> None:
    """Keep the response."""
    await connection.execute(
        "update idempotency_keys set status = $3, sealed = $4 where name = $1 and attempt = $2",
        name,
        attempt,
        status,
        sealed,
    )


async def give_up(connection: Connection, name: bytes, attempt: str) -> None:
    """The attempt was refused: the key is free again, unless something was carried out."""
    await connection.execute(
        "delete from idempotency_keys where name = $1 and attempt = $2 and not carried_out", name, attempt
    )


async def forget_expired(connection: Connection, most: int) -> int:
    """Delete keys whose time is over; how many."""
    done = await connection.execute(
        """
        delete from idempotency_keys where name in (
            select name from idempotency_keys where expires <= now() order by expires limit $1 for update skip locked)
        """,
        most,
    )
    return int(done.rpartition(" ")[2])
