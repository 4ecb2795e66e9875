"""Sign-ins from a device that is new: how one is recognised, and the event that each is.

A browser that has signed in before brings its proof (`backend/accounts/devices.py`), and is known by that alone.
Whoever brings none is known by the program and the network that it signs in from: an account keeps the newest hashes.
"""

import hashlib
import re
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import Final

from backend.accounts.devices import KNOWN_DAYS
from backend.alerts import outbox
from backend.alerts.events import Event
from backend.changes import UnitOfWork

# Whoever signs in from more places than that is notified of each again.
MOST: Final = 20
# Providers give a household or an office addresses of one such network, and move it within.
IPV4_PREFIX: Final = 24
IPV6_PREFIX: Final = 48
AGENT_CHARACTERS: Final = 200
# A program is the same one after its update.
_VERSION: Final = re.compile(r"[0-9][0-9._]*")

_KNOWN: Final = """
    select seen > now() - $3::int * interval '1 day' from sign_in_clients where user_id = $1 and mark = $2
"""
_NOTE: Final = """
    insert into sign_in_clients (user_id, mark) values ($1, $2)
    on conflict (user_id, mark) do update set seen = excluded.seen
"""
_FORGET: Final = """
    delete from sign_in_clients where user_id = $1 and mark not in (
        select mark from sign_in_clients where user_id = $1 order by seen desc, mark limit $2)
"""


@dataclass(frozen=True, slots=True)
class Client:
    """The program that signs in, as it calls itself, and the network that it is in."""

    agent: str
    network: str

    @classmethod
    def of(cls, agent: str, address: str) -> "Client":
        """Of a `User-Agent` and the address or network that a request counts for."""
        printable = "".join(each if each.isprintable() else " " for each in agent)
        return cls(" ".join(printable.split())[:AGENT_CHARACTERS] or "unknown", _network(address))

    def mark(self, user_id: str) -> bytes:
        """What is kept of it at a person's account."""
        return hashlib.sha256(f"{user_id}\n{_VERSION.sub('', self.agent)}\n{self.network}".encode()).digest()


async def remember(change: UnitOfWork, user_id: str, client: Client) -> None:
    """Know this client at the account from now on. Nothing that anybody decided: no audit line."""
    await change.connection.execute(_NOTE, user_id, client.mark(user_id))
    await change.connection.execute(_FORGET, user_id, MOST)
    change.exempt("sign_in_clients")


async def forget(change: UnitOfWork, user_id: str) -> None:
    """Know none of an account's clients any more: each will be new."""
    await change.connection.execute("delete from sign_in_clients where user_id = $1", user_id)
    change.exempt("sign_in_clients")


async def notice(change: UnitOfWork, user_id: str, client: Client) -> bool:
    """Somebody signs in with the password and without a known device: an event, unless this client is known.

    The first sign-in of an account that nobody signed up for (an operator made it) is none. Call this before the
    session is made. Whether it was an event.
    """
    connection = change.connection
    known = await connection.fetchval(_KNOWN, user_id, client.mark(user_id), KNOWN_DAYS)
    used = await connection.fetchval("select exists (select from sessions where user_id = $1)", user_id)
    await remember(change, user_id, client)
    if known or not used:
        return False
    account_id = await connection.fetchval(
        "select account_id::text from billing_accounts where owner_id = $1 order by account_id limit 1", user_id
    )
    if account_id is None:
        return False
    # The network and not the address: others read a project's events, too.
    data = {"user_id": user_id, "user_agent": client.agent, "network": client.network}
    await outbox.add(connection, [Event(type="sign_in.new_device", account_id=account_id, data=data)])
    change.exempt("alert_events", "alert_deliveries")
    return True


def _network(address: str) -> str:
    try:
        found = ip_network(address, strict=False)
    except ValueError:
        return "unknown"
    return str(found.supernet(new_prefix=IPV4_PREFIX if isinstance(found, IPv4Network) else IPV6_PREFIX))
