"""Production's Redis users, on a real Redis: each service can do all that it does, and a proxy makes no credential."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from aiohttp import ClientSession
from redis.exceptions import NoPermissionError, RedisError

from aldea.admission import Admission, scripts
from aldea.admission.grant import Application
from aldea.credentials import Credential
from aldea.ids import new_request_id
from aldea.redis.errors import RedisUnavailable
from aldea.redis.schema import KEYS_LOADED, USAGE_STREAM, credential_key, project_key
from aldea.usage.reading import Rank
from aldea_infra.catalogue import Role
from aldea_infra.components.redis_access import ACCESS, NOBODY
from http_proxy.callbacks.store import Deliveries, Delivery, Room
from onebox import redis_users
from tests.integration.conftest import backend_env
from tests.support.proxies import Customer, patient_link, running

PASSWORD = "of-this-test"
PROXIES = [Role.WS_PROXY, Role.HTTP_PROXY]


async def execute(client: "redis.Redis", *words: str) -> Any:
    return await client.execute_command(*words)  # type: ignore[no-untyped-call]


class Users:
    """A Redis with production's users. Before Redis 7 there is no read-only pattern; `strict` says whether this has."""

    def __init__(self, url: str, admin: "redis.Redis", *, strict: bool) -> None:
        self.url, self.admin, self.strict = url, admin, strict

    def as_role(self, role: Role) -> str:
        return self.url.replace("redis://", f"redis://{role}:{PASSWORD}@")

    async def refused(self) -> list[str]:
        """What the server refused to these users, as it logged it."""
        found = await self.admin.acl_log()
        # The client library says its own name and version, and takes a refusal of that.
        refused = [entry for entry in found if entry["object"] not in {"client", "client|setinfo"}]
        return [f"{entry['username']}: {entry['context']} {entry['object']}" for entry in refused]


@pytest.fixture
async def users(redis_url: str, redis_client: "redis.Redis") -> AsyncIterator[Users]:
    version = int(str((await redis_client.info("server"))["redis_version"]).split(".")[0])
    strict = version >= redis_users.READ_ONLY_PATTERNS_SINCE
    for role, access in ACCESS.items():
        rules = redis_users.rules(access, read_only_patterns=strict)
        await execute(redis_client, "ACL", "SETUSER", role, "reset", f">{PASSWORD}", *rules.split())
    await execute(redis_client, "ACL", "LOG", "RESET")
    yield Users(redis_url, redis_client, strict=strict)
    await execute(redis_client, "ACL", "DELUSER", *ACCESS)


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("role", PROXIES)
async def test_a_proxy_admits_renews_ends_and_takes_back(role: Role, users: Users, customer: Customer) -> None:
    async with patient_link(users.as_role(role)) as link:
        await link.ping()
        request = _application(customer)
        response = await link.call(*scripts.admit(request, 30_000))
        verdict, project_id, key_id, authority = (_text(part) for part in response[:4])
        assert verdict == "admitted"
        grant = request.granted(project_id=project_id, key_id=key_id, authority=authority, key_tags=(), offline=False)
        for rank in (Rank.OPEN, Rank.FINAL):
            reading = grant.reading(rank, 1)
            going_on = rank is Rank.OPEN
            await link.call(
                *(scripts.renew(grant, reading, 0, 30_000) if going_on else scripts.finish(grant, reading, 0))
            )
        other = _application(customer)
        await link.call(*scripts.admit(other, 30_000))
        assert await link.call(*scripts.abandon(other, 503)) == 1
        if role is Role.HTTP_PROXY:
            reserved = replace(grant, request_id=new_request_id())
            assert await link.call(*scripts.reserve(reserved, 1)) in (["reserved"], [b"reserved"])
            await link.call(*scripts.finish(reserved, reserved.reading(Rank.FINAL, 1), 0))
    assert await users.refused() == []


@pytest.mark.parametrize("role", PROXIES)
async def test_what_a_proxy_may_not_write_while_its_rights_change_is_kept(
    role: Role, users: Users, customer: Customer, redis_client: "redis.Redis"
) -> None:
    async with (
        patient_link(users.as_role(role), probe_seconds=0.05) as link,
        Admission(link, lane="live1") as admission,
    ):
        admit = partial(admission.admit, Credential(customer.key.sha256), service="streaming", path="/v1/listen")
        grant = await admit(request_id=new_request_id())
        before = await redis_client.xlen(USAGE_STREAM)
        await execute(users.admin, "ACL", "SETUSER", role, "-xadd")
        await admission.finish(grant, grant.reading(Rank.FINAL, 2))
        assert admission.outbox.waiting == 1
        assert (await admit(request_id=new_request_id())).offline
        await execute(users.admin, "ACL", "SETUSER", role, "+xadd")

        async def written() -> bool:
            await admission.outbox.flush()
            return await redis_client.xlen(USAGE_STREAM) >= before + 2

        await until(written)
        assert admission.outbox.waiting == 0


async def test_while_a_proxys_password_is_another_its_readings_are_kept(
    users: Users, customer: Customer, redis_client: "redis.Redis"
) -> None:
    role = Role.WS_PROXY
    async with (
        patient_link(users.as_role(role), probe_seconds=0.05) as link,
        Admission(link, lane="live1") as admission,
    ):
        admit = partial(admission.admit, Credential(customer.key.sha256), service="streaming", path="/v1/listen")
        grant = await admit(request_id=new_request_id())
        before = await redis_client.xlen(USAGE_STREAM)
        await execute(users.admin, "ACL", "SETUSER", role, "resetpass", ">another")
        await execute(users.admin, "CLIENT", "KILL", "USER", role)
        await admission.finish(grant, grant.reading(Rank.FINAL, 2))
        assert admission.outbox.waiting == 1
        assert (await admit(request_id=new_request_id())).offline
        with pytest.raises(RedisUnavailable):
            await link.run(lambda client: client.xlen(USAGE_STREAM))
        await execute(users.admin, "ACL", "SETUSER", role, f">{PASSWORD}")

        async def written() -> bool:
            await admission.outbox.flush()
            return await redis_client.xlen(USAGE_STREAM) >= before + 2

        await until(written)
        assert admission.outbox.waiting == 0


async def test_the_backend_loads_keys_publishes_and_counts_sign_ins(
    users: Users, database_url: str, http: ClientSession, tmp_path: Path
) -> None:
    environment = backend_env(database_url, users.as_role(Role.BACKEND))
    with running("backend", tmp_path / "backend.log", **environment) as service:
        await until(lambda: users.admin.exists(KEYS_LOADED))
        await until(lambda: users.admin.exists(USAGE_STREAM))  # made with the publishers' group
        body = {"email": "nobody@example.com", "password": "not-the-password-of-anybody"}
        async with http.post(f"{service.url}/v1/sessions", json=body) as response:
            assert response.status == 401
    assert await users.refused() == []


async def test_http_proxy_keeps_and_delivers_results(users: Users) -> None:
    async with patient_link(users.as_role(Role.HTTP_PROXY)) as link:
        deliveries = Deliveries(link, most_bytes=1 << 20)
        delivery = Delivery(
            request_id="r", url="https://x.example", method="POST", body="{}", content_type="application/json",
            secret="s", reading='{"project_id":"p"}',
        )  # fmt: skip
        assert await deliveries.room("p") is Room.FREE
        assert await deliveries.put(delivery) is Room.FREE
        (taken,) = await deliveries.take(1, 0, most_bytes=1 << 20, one_at_least=True)
        assert await deliveries.read("r") == delivery
        await deliveries.again(taken, 1, 0)
        await deliveries.done(taken, failure="responded 500")
    assert await users.refused() == []


WRITES = [
    ("HSET", credential_key("ab"), "state", "active"),
    ("SET", credential_key("ab"), "x"),
    ("DEL", credential_key("ab")),
    ("HSET", project_key("p"), "state", "active"),
    ("DEL", project_key("p")),
    ("SET", KEYS_LOADED, "1"),
    ("DEL", KEYS_LOADED),
    ("EXPIRE", credential_key("ab"), "1"),
    ("RENAME", "callback:x", credential_key("ab")),
    ("FLUSHALL",),
    ("CONFIG", "GET", "*"),
    ("ACL", "LIST"),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("XRANGE", USAGE_STREAM, "-", "+"),
]


@pytest.mark.parametrize("role", PROXIES)
@pytest.mark.parametrize("command", WRITES, ids=" ".join)
async def test_a_proxy_makes_no_credential_and_reads_nobodys_usage(
    role: Role, command: tuple[str, ...], users: Users, customer: Customer
) -> None:
    if not users.strict and command[0] in {"HSET", "SET", "DEL", "EXPIRE"}:
        pytest.skip("this Redis is older than 7 and has no read-only key patterns; the next test reads them")
    async with redis.from_url(users.as_role(role)) as client:
        with pytest.raises(NoPermissionError):
            await execute(client, *command)
        # Nor by a script, which is what a proxy may send.
        loaded = await client.script_load("return redis.call(unpack(ARGV))")
        with pytest.raises(RedisError, match=r"executing the script can't|not allowed from script"):
            await client.evalsha(loaded, 0, *command)


SERVICES = Path(__file__).parents[3] / "services"
SCRIPTS = {
    Role.WS_PROXY: [
        # Only files are reserved.
        *(path for path in (SERVICES / "aldea" / "admission").glob("*.lua") if path.stem != "reserve"),
        SERVICES / "aldea" / "upstream" / "fleet.py",
    ],
    Role.HTTP_PROXY: [
        *(SERVICES / "aldea" / "admission").glob("*.lua"),
        SERVICES / "aldea" / "upstream" / "fleet.py",
        SERVICES / "http_proxy" / "callbacks" / "store.py",
    ],
}


@pytest.mark.parametrize("role", PROXIES)
def test_every_command_of_a_proxys_scripts_is_allowed_to_it(role: Role) -> None:
    text = "\n".join(path.read_text() for path in SCRIPTS[role])
    called = {word.lower() for word in re.findall(r"(?:redis\.p?call\('|client: client\.)(\w+)", text)}
    assert len(called) > 15
    allowed = {rule[1:] for rule in ACCESS[role].split() if rule.startswith("+")}
    assert called <= allowed


@pytest.mark.parametrize("role", PROXIES)
def test_no_key_that_a_proxy_writes_is_a_record(role: Role) -> None:
    written = [rule[1:] for rule in ACCESS[role].split() if rule.startswith("~")]
    for name in (credential_key("ab"), project_key("p"), KEYS_LOADED):
        assert not [pattern for pattern in written if re.fullmatch(pattern.replace("*", ".*"), name)]
    assert "~*" not in ACCESS[role].split()
    assert "+@all" not in ACCESS[role]


async def test_nobody_signs_in_without_a_name(users: Users) -> None:
    await execute(users.admin, "ACL", "SETUSER", "nobody", "reset", f">{PASSWORD}", *NOBODY.split())
    async with redis.from_url(users.url.replace("redis://", f"redis://nobody:{PASSWORD}@")) as client:
        with pytest.raises(RedisError):
            await client.ping()
    await execute(users.admin, "ACL", "DELUSER", "nobody")


def _text(part: object) -> str:
    return part.decode() if isinstance(part, bytes) else str(part)


def _application(customer: Customer) -> Application:
    return Application(
        request_id=new_request_id(), started_ms=0, credential_sha256=customer.key.sha256, service="streaming",
        lane="live1", path="/v1/listen", tags=(),
    )  # fmt: skip
