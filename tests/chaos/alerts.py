"""Judges a run's alerts: each threshold that the balance has passed was announced once, and each event has arrived.

The account has five thresholds close below its balance, and a webhook at the receiver, which refuses some deliveries
and loses the response of others.
"""

from collections import Counter
from typing import Any, Final

import asyncpg

from backend.alerts.webhook import ATTEMPT_SECONDS, new_secret

# Below the balance at the begin, in micro-dollars: 100 are a second of audio. The first charge passes the first.
BELOW: Final = (0, 1_000, 10_000, 50_000, 200_000)

_BALANCE: Final = """
    select account_id, coalesce((select sum(amount_micros) from ledger_entries as entry
        where entry.account_id = account.account_id), 0)::bigint - coalesce(spent_micros, 0) as micros
    from billing_accounts as account left join account_spend using (account_id) limit 1
"""


async def prepare(postgres_url: str, receiver_url: str) -> str:
    """Set the thresholds and make the webhook; its secret."""
    connection = await asyncpg.connect(postgres_url, timeout=60)
    try:
        account = await connection.fetchrow(_BALANCE)
        assert account is not None
        thresholds = [account["micros"] - below for below in BELOW]
        await connection.execute("update billing_accounts set balance_thresholds = $1", thresholds)
        secret = new_secret()
        await connection.execute(
            "insert into alert_endpoints (project_id, url, description, types, secret) "
            "select project_id, $1, '', '{balance.low}', $2 from projects limit 1",
            f"{receiver_url}/alerts",
            secret,
        )
    finally:
        await connection.close(timeout=60)
    return secret


async def unrest(connection: "asyncpg.Connection[Any]") -> str:
    """What is still on its way; empty if nothing is. What waits, or was in the hands of a process that died, is due."""
    await connection.execute(
        "update alert_deliveries set due = now() where state = 'waiting' and due > now() "
        "and (claim is null or attempted < now() - $1::float8 * interval '1 s')",
        ATTEMPT_SECONDS + 2,
        timeout=60,
    )
    if moves := await connection.fetchval("select count(*) from alert_moves", timeout=60):
        return f"{moves} moves whose thresholds were not looked at"
    waiting = await connection.fetchval(
        "select count(*) from alert_deliveries where state = 'waiting' and kind = 'webhook'", timeout=60
    )
    return f"{waiting} deliveries of alerts wait" if waiting else ""


async def differences(connection: Any, received: dict[str, Any]) -> list[str]:
    """What is wrong. `received`: the threshold that each event is about, by its id."""
    account = await connection.fetchrow(_BALANCE)
    thresholds = await connection.fetchval(
        "select balance_thresholds from billing_accounts where account_id = $1", account["account_id"]
    )
    rows = await connection.fetch(
        "select event_id::text, (data->>'threshold_micros')::bigint as threshold from alert_events "
        "where type = 'balance.low'"
    )
    wrong = []
    announced = Counter(row["threshold"] for row in rows)
    for threshold in thresholds:
        expected = int(account["micros"] < threshold)
        if announced[threshold] != expected:
            wrong.append(f"threshold {threshold}: announced {announced[threshold]} times instead of {expected}")
    if {row["event_id"]: row["threshold"] for row in rows} != received:
        wrong.append(f"alerts announced: {[dict(row) for row in rows]}, received: {received}")
    return wrong
