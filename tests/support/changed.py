"""Requests that change something, and what each leaves: lines of the audit log, notifications, records for Redis."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

import asyncpg

from aldea.credentials import sha256_hex
from backend.api.endpoint import Endpoint
from backend.replication.mirror import Entry
from backend.replication.notify import CHANNEL
from backend.replication.propagation import PROPAGATION
from tests.integration.conftest import Api, Tenant, make_tenant, sign_in
from tests.support.estates import Estate, body_of
from tests.support.proxies import eventually

# Nothing here takes this long; a listener that hears nothing should not hang the tests.
HEARD_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a request leaves. `lines`: action and target, in order; names as they are notified and stored in Redis."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    notified: set[str] = field(default_factory=set)
    mirrored: set[str] = field(default_factory=set)


class World:
    """A Platform API with Ann's estate, whatever its requests leave being recorded."""

    def __init__(self, api: Api, ann: Estate, endpoint: Endpoint, listener: "asyncpg.Connection[Any]") -> None:
        self.api = api
        self.ann = ann
        self.path = f"/v1/projects/{ann.tenant.project_id}"
        self._endpoint = endpoint
        self._listener = listener
        self._heard: list[str] = []
        self._written: set[str] = set()
        self.effect = Effect()
        # Of `send`: headers beside the credential's, and the whole request that it sent last.
        self.headers: dict[str, str] = {}
        self.sent: dict[str, Any] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, api: Api, ann: Estate, endpoint: Endpoint, database_url: str) -> AsyncIterator[Self]:
        listener: asyncpg.Connection[Any] = await asyncpg.connect(database_url, timeout=HEARD_SECONDS)
        try:
            world = cls(api, ann, endpoint, listener)
            await listener.add_listener(CHANNEL, world._hear)
            propagation = api.client.app[PROPAGATION]
            committed = propagation.committed

            async def recorded(*entries: Entry) -> bool:
                world._written |= {entry.name for entry in entries}
                return await committed(*entries)

            propagation.committed = recorded  # type: ignore[method-assign]
            yield world
            await listener.remove_listener(CHANNEL, world._hear)
        finally:
            await listener.close(timeout=HEARD_SECONDS)

    def _hear(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        self._heard.append(str(payload))

    async def send(self, credential: str | None, body: Any = None, *, query: str = "", **ids: str) -> Any:
        """The endpoint's own request, as good as its table says; `effect` is what it left. Its JSON."""
        await self._quiet()
        last = await self._value("select coalesce(max(audit_id), 0) from audit_log")
        self._heard.clear()
        self._written.clear()
        path = self._endpoint.path.format(**{**self.ann.ids, **ids}) + query
        headers = self.headers | ({} if credential is None else {"Authorization": f"Bearer {credential}"})
        body = body_of(self._endpoint) if body is None else body
        self.sent = {"method": self._endpoint.method, "path": path, "headers": headers, "json": body}
        async with self.api.client.request(**self.sent) as response:
            assert response.status == self._endpoint.status, await response.text()
            request_id, found = response.headers["dg-request-id"], await response.json()
        written = set(self._written)
        await self._quiet()
        async with self.api.database.connection() as connection:
            lines = await connection.fetch(
                "select action, target, request_id::text from audit_log where audit_id > $1 order by audit_id", last
            )
        # Sessions' changes have no line, and no request of them is known to the database.
        assert {line["request_id"] for line in lines} <= {request_id}
        self.effect = Effect(
            lines=[(line["action"], line["target"]) for line in lines],
            notified={heard for heard in self._heard if not heard.startswith("test:")},
            mirrored=written,
        )
        return found

    async def _quiet(self) -> None:
        """Wait until every notification that was sent before has been heard."""
        mark = f"test:{uuid.uuid4()}"
        async with self.api.database.connection() as connection:
            await connection.execute("select pg_notify($1, $2)", CHANNEL, mark)
        await eventually(lambda: mark in self._heard, HEARD_SECONDS)

    async def _value(self, query: str, *values: Any) -> Any:
        async with self.api.database.connection() as connection:
            return await connection.fetchval(query, *values)

    async def record_of_key(self, key_id: str) -> str:
        """The name of a key's record."""
        return f"cred:{await self._value('select sha256 from api_keys where key_id = $1', key_id)}"

    async def record_of_account(self, project_id: str) -> str:
        """The name of the record of a project's billing account."""
        query = "select account_id::text from projects where project_id = $1"
        return f"account:{await self._value(query, project_id)}"

    async def grant(self, session: str) -> str:
        """Let a session grant a token in Ann's project: the name of the record that it grants by."""
        body = {"project_id": self.ann.tenant.project_id}
        await self.api.call("POST", "/v1/auth/grant", session, body)
        query = "select sha256 from session_grants where session_sha256 = $1 and project_id = $2"
        return f"cred:{await self._value(query, sha256_hex(session), self.ann.tenant.project_id)}"

    async def key(self, credential: str, *scopes: str) -> Any:
        """A new key of Ann's project."""
        body = {"comment": "new", "scopes": list(scopes)}
        return await self.api.call("POST", f"{self.path}/keys", credential, body)

    async def invite(self, credential: str, email: str, role: str = "member") -> str:
        """The token of a new invite to Ann's project."""
        body = {"email": email, "scope": role}
        return str((await self.api.call("POST", f"{self.path}/invites", credential, body))["token"])

    async def join(self, name: str, role: str) -> tuple[Tenant, str]:
        """Somebody who has become a member of Ann's project, and a session of theirs."""
        who = await make_tenant(self.api, name)
        session = await sign_in(self.api, who.email)
        token = await self.invite(self.ann.session, who.email, role)
        await self.api.call("POST", "/v1/invites/accept", session, {"token": token})
        return who, session

    async def operator(self) -> str:
        """A session of an operator."""
        return await sign_in(self.api, (await make_tenant(self.api, "root", operator=True)).email)
