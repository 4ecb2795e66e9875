"""`Idempotency-Key` on a real PostgreSQL: every POST is carried out once, whoever dies meanwhile."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from aldea.errors import Conflict, ServiceUnavailable
from aldea.postgres import Database
from aldea.tasks import spawn
from backend.api.endpoint import SYSTEM
from backend.app import ENDPOINTS
from backend.changes import Changes
from backend.idempotency import repository
from backend.idempotency.service import Attempt, Forgetting, Idempotency
from tests.integration.backend.test_backend_changes import MUTATING, TRIED
from tests.integration.conftest import Api, Tenant
from tests.support.changed import Effect, World
from tests.support.estates import settle

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"
ONCE = sorted(endpoint.operation_id for endpoint in ENDPOINTS if endpoint.method == "POST")


async def request(api: Api, **sent: Any) -> tuple[int, bytes, str | None]:
    async with api.client.request(**sent) as response:
        return response.status, await response.read(), response.headers.get("Idempotency-Replayed")


async def count(api: Api, table: str) -> int:
    async with api.database.connection() as connection:
        return int(await connection.fetchval(f"select count(*) from {table}"))


@pytest.fixture
async def world(request: pytest.FixtureRequest, api: Api, database_url: str) -> AsyncIterator[World]:
    async with World.open(api, await settle(api, "ann"), MUTATING[request.param], database_url) as world:
        yield world


@pytest.mark.parametrize(
    ("world", "trial"), [pytest.param(name, TRIED[name][0], id=name) for name in ONCE], indirect=["world"]
)
async def test_every_post_is_carried_out_once_and_responds_the_same_again(
    world: World, trial: Callable[[World], Awaitable[Effect]]
) -> None:
    send, responses = world.send, list[Any]()

    async def recorded(*arguments: Any, **more: Any) -> Any:
        world.headers = {"Idempotency-Key": KEY}
        responses.append(await send(*arguments, **more))
        return responses[-1]

    world.send = recorded  # type: ignore[method-assign]
    expected = await trial(world)
    assert world.effect == expected
    endpoint = MUTATING[trial.__name__]
    before = await count(world.api, "audit_log")
    status, text, repeated = await request(world.api, **world.sent)
    assert (status, json.loads(text), repeated) == (endpoint.status, responses[-1], "true")
    other = {name: value for name, value in world.sent.items() if name != "json"}
    other["data"] = json.dumps(world.sent["json"] or {}) + " "  # as valid as the first, whatever the address takes
    other["headers"] = world.sent["headers"] | {"Content-Type": "application/json"}
    status, text, repeated = await request(world.api, **other)
    # To an address that takes no body every body is the same.
    assert status == (endpoint.status if endpoint.body is None else 409), text
    status, text, _ = await request(world.api, **world.sent | {"path": world.sent["path"] + "?other=query"})
    assert status == 409, text
    assert await count(world.api, "audit_log") == before


async def create_key(api: Api, who: Tenant, key: str | None, body: Any = None) -> tuple[int, bytes, str | None]:
    headers = {"Authorization": f"Token {who.key}"} | ({} if key is None else {"Idempotency-Key": key})
    path = f"/v1/projects/{who.project_id}/keys"
    return await request(
        api, method="POST", path=path, headers=headers, json=body or {"comment": "c", "scopes": ["usage:read"]}
    )


async def test_a_key_counts_for_the_credential_that_it_came_with(api: Api, ann: Tenant, bob: Tenant) -> None:
    first, again = await create_key(api, ann, KEY), await create_key(api, ann, f'"{KEY}"')
    assert (first[0], again) == (200, (*first[:2], "true"))
    others = await create_key(api, bob, KEY)
    assert others[0] == 200
    assert others[1] != first[1]
    # Without one every request is another.
    assert (await create_key(api, ann, None))[1] != (await create_key(api, ann, None))[1]


async def test_of_many_at_once_one_is_carried_out_and_the_others_wait_or_get_its_response(
    api: Api, ann: Tenant
) -> None:
    before = await count(api, "api_keys")
    found = await asyncio.gather(*(create_key(api, ann, KEY) for _ in range(20)))
    assert await count(api, "api_keys") == before + 1
    good = {text for status, text, _ in found if status == 200}
    assert len(good) == 1
    assert {status for status, _, _ in found} <= {200, 409}
    assert (await create_key(api, ann, KEY))[1] in good


async def test_a_refusal_frees_the_key(api: Api, ann: Tenant) -> None:
    refused = await create_key(api, ann, KEY, {"comment": "c", "scopes": ["usage:read"], "expiration_date": "x"})
    assert refused[0] == 400
    path = f"/v1/projects/{ann.project_id}/invites"
    headers = {"Authorization": f"Token {ann.key}", "Idempotency-Key": KEY}
    body = {"email": ann.email, "scope": "member"}
    status, text, _ = await request(api, method="POST", path=path, headers=headers, json=body)
    assert 400 <= status < 500, text
    assert (await create_key(api, ann, KEY))[0] == 200


async def test_bad_keys_are_refused_before_anything_is_done(api: Api, ann: Tenant) -> None:
    before = await count(api, "api_keys")
    for bad in ("", " ", "two words", "é", '"', '""', 'a"b', "x" * 256):
        status, text, _ = await create_key(api, ann, bad)
        assert status == 400, (bad, text)
        assert b"Idempotency-Key" in text
    assert await count(api, "api_keys") == before


async def test_what_is_stored_opens_with_the_request_alone(api: Api, ann: Tenant) -> None:
    _, text, _ = await create_key(api, ann, KEY)
    async with api.database.connection() as connection:
        [row] = await connection.fetch("select idempotency_keys::text as text, sealed from idempotency_keys")
    made = json.loads(text)["key"]
    assert made.encode() not in row["sealed"]
    for secret in (made, KEY, ann.key):
        assert secret not in row["text"]
        assert secret.encode().hex() not in row["text"]


class Tried:
    """A change that is made through a unit of work, with a key, by as many backends as are wanted."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.made = 0

    async def run(self) -> web.Response:
        async with Changes(self.database).transaction(SYSTEM) as change:
            await change.connection.execute(
                "insert into users (email, email_key, name, password_hash) values ($1, $1, $1, '')", str(uuid.uuid4())
            )
            change.unmirrored("accounts", "account.create", "u")
        self.made += 1
        return web.json_response({"made": self.made}, status=201)

    async def dies_before(self) -> web.Response:
        raise asyncio.CancelledError

    async def dies_after(self) -> web.Response:
        await self.run()
        raise asyncio.CancelledError

    async def once(self, run: Callable[[], Awaitable[web.Response]]) -> web.Response:
        return await Idempotency(self.database).once(KEY, credential="c", method="POST", path="/x", body=b"{}", run=run)

    async def users(self) -> int:
        async with self.database.connection() as connection:
            return int(await connection.fetchval("select count(*) from users"))

    async def later(self, seconds: int) -> None:
        """As if so many seconds had passed since."""
        async with self.database.connection() as connection:
            await connection.execute(
                "update idempotency_keys set until = until - $1::int * interval '1 s', "
                "expires = expires - $1::int * interval '1 s'",
                seconds,
            )


@pytest.fixture
def tried(database: Database, monkeypatch: pytest.MonkeyPatch) -> Tried:
    # A process that dies gives nothing up.
    async def nothing(_self: Idempotency, _attempt: Attempt) -> None:
        pass

    monkeypatch.setattr(Idempotency, "_give_up", nothing)
    return Tried(database)


async def test_what_died_before_its_change_is_carried_out_when_its_time_is_over(tried: Tried) -> None:
    with pytest.raises(asyncio.CancelledError):
        await tried.once(tried.dies_before)
    with pytest.raises(Conflict, match="still runs"):
        await tried.once(tried.run)
    await tried.later(600)
    assert (await tried.once(tried.run)).status == 201
    assert (await tried.once(tried.run)).body == b'{"made": 1}'
    assert await tried.users() == 1


async def test_what_died_after_its_change_is_never_carried_out_again(tried: Tried) -> None:
    with pytest.raises(asyncio.CancelledError):
        await tried.once(tried.dies_after)
    for seconds in (0, 600):
        await tried.later(seconds)
        with pytest.raises(Conflict):
            await tried.once(tried.run)
    assert await tried.users() == 1


async def test_an_attempt_that_stood_still_while_another_took_its_place_changes_nothing(tried: Tried) -> None:
    async def stood_still() -> web.Response:
        await tried.later(600)
        await spawn(tried.once(tried.run), name="another")
        return await tried.run()

    with pytest.raises(Conflict, match="another took its place"):
        await tried.once(stood_still)
    assert await tried.users() == 1
    assert tried.made == 1


async def test_a_day_later_the_key_is_free_and_its_row_is_deleted(tried: Tried) -> None:
    await tried.once(tried.run)
    await tried.later(25 * 3600)
    assert await Forgetting(tried.database).sweep_now() == 1
    await tried.once(tried.run)
    await tried.later(25 * 3600)
    assert (await tried.once(tried.run)).body == b'{"made": 3}'
    assert await Forgetting(tried.database).sweep_now() == 0


async def test_a_response_that_cannot_be_kept_is_sent_all_the_same(
    tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_arguments: Any) -> None:
        raise ServiceUnavailable("for the test")

    with monkeypatch.context() as patched:
        patched.setattr(repository, "finish", unavailable)
        assert (await tried.once(tried.run)).status == 201
    await tried.later(600)
    with pytest.raises(Conflict, match="response is lost"):
        await tried.once(tried.run)
    assert await tried.users() == 1
