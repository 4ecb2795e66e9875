"""Signing in while others try: known devices, turns of fresh addresses; what a new session or password ends."""

import asyncio
from typing import Any

import pytest
import redis.asyncio as redis

from backend.accounts import service
from backend.accounts.new_devices import MOST
from backend.api.throttle import KEPT_TURN_MS, Pace, Rule
from tests.integration.conftest import Api, make_tenant

EMAIL = "ann@example.com"
PASSWORD = "correct horse battery"
NEW = "another horse battery"
# As in production, with fewer free tries: each one costs a hash.
FEW = Pace("login-account", free=4, step=2, longest=60, seconds=3600)


async def sign_up(api: Api, **more: Any) -> Any:
    body = {"email": EMAIL, "password": PASSWORD, "name": "Ann Doe", **more}
    return await api.call("POST", "/v1/accounts", None, body, status=201)


async def sign_in(
    api: Api, password: str = PASSWORD, address: str = "203.0.113.1", agent: str = "curl/8", **more: Any
) -> tuple[int, Any, int]:
    """Status, response, and the seconds to wait."""
    body = {"email": EMAIL, "password": password, **more}
    # What a client writes itself, in front of what the balancer appends, makes no difference.
    headers = {"X-Forwarded-For": f"10.0.0.9, {address}", "User-Agent": agent}
    async with api.client.post("/v1/sessions", json=body, headers=headers) as response:
        return response.status, await response.json(), int(response.headers.get("Retry-After", "0"))


async def attack(api: Api, tries: int) -> list[int]:
    return [(await sign_in(api, "wrong horse battery", f"198.51.100.{number}"))[0] for number in range(tries)]


async def let_turns_come(redis_client: redis.Redis) -> None:
    for name in await redis_client.keys("throttle:login-account-turn:*"):
        await redis_client.pexpire(name, KEPT_TURN_MS)


async def test_wrong_passwords_from_afar_never_keep_the_owner_out(
    api: Api, monkeypatch: pytest.MonkeyPatch, redis_client: redis.Redis
) -> None:
    monkeypatch.setattr(service, "LOGIN_ACCOUNT", FEW)
    known = (await sign_up(api))["device_token"]
    assert await attack(api, 8) == [401] * 5 + [429] * 3
    # A device that has signed in before is let in at once, however much is tried elsewhere.
    status, session, _ = await sign_in(api, device_token=known)
    assert status == 201
    # An address that never failed waits for a second, and then has its turn: also while others keep trying.
    status, refused, wait = await sign_in(api, address="203.0.113.7")
    assert (status, refused["err_code"], wait) == (429, "TOO_MANY_REQUESTS", 1)
    await let_turns_come(redis_client)
    assert set(await attack(api, 8)) == {401, 429}
    status, _, wait = await sign_in(api, address="203.0.113.8")
    assert (status, wait > 1) == (429, True), "the wait grows with what is tried"
    assert (await sign_in(api, address="203.0.113.7"))[0] == 201
    assert (await sign_in(api, device_token=session["device_token"]))[0] == 201


async def test_an_address_that_failed_is_bounded_and_a_spoofed_entry_makes_no_other_of_it(api: Api) -> None:
    await sign_up(api)
    found = []
    for number in range(12):
        headers = {"X-Forwarded-For": f"10.0.0.{number}, 198.51.100.{number}, 203.0.113.5"}
        body = {"email": EMAIL, "password": "wrong horse battery"}
        async with api.client.post("/v1/sessions", json=body, headers=headers) as response:
            found.append(response.status)
    assert found == [401] * 10 + [429] * 2
    assert (await sign_in(api, address="203.0.113.6"))[0] == 201


async def test_an_attackers_own_device_is_bounded_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "LOGIN_DEVICE", Rule("login-device", 2, 60))
    mine = (await sign_up(api))["device_token"]
    other = {"email": "eve@example.com", "password": PASSWORD, "name": "Eve"}
    theirs = (await api.call("POST", "/v1/accounts", None, other, status=201))["device_token"]
    tried = [await sign_in(api, "wrong horse battery", device_token=mine) for _ in range(3)]
    assert [status for status, _, _ in tried] == [401, 401, 429]
    # A proof of one account is none of another's: it is counted by its address.
    monkeypatch.setattr(service, "LOGIN_PAIR", Rule("login-pair", 1, 60))
    tried = [await sign_in(api, "wrong horse battery", "203.0.113.9", device_token=theirs) for _ in range(2)]
    assert [status for status, _, _ in tried] == [401, 429]
    assert (await sign_in(api))[0] == 201


async def test_a_new_session_ends_the_one_that_it_replaces_with_its_tokens(api: Api, redis_client: redis.Redis) -> None:
    first = await sign_up(api)
    other = (await sign_in(api))[1]["session_token"]
    [project] = (await api.call("GET", "/v1/me", first["session_token"]))["projects"]
    await api.call("POST", "/v1/auth/grant", first["session_token"], {"project_id": project["project_id"]})
    status, second, _ = await sign_in(api, replaces=first["session_token"])
    assert status == 201
    await api.call("GET", "/v1/me", first["session_token"], status=401)
    for token in (second["session_token"], other):
        await api.call("GET", "/v1/me", token)
    async with api.database.connection() as connection:
        assert await connection.fetchval("select count(*) from session_grants where revoked is not null") == 1
    # A wrong password replaces nothing, and neither does what is no session any more.
    assert (await sign_in(api, "wrong horse battery", replaces=second["session_token"]))[0] == 401
    await api.call("GET", "/v1/me", second["session_token"])
    for gone in (first["session_token"], "nonsense"):
        assert (await sign_in(api, replaces=gone))[0] == 201
    # Another account in the same browser: its sign-up ends the session that was there.
    body = {"email": "bob@example.com", "password": PASSWORD, "name": "Bob", "replaces": second["session_token"]}
    await api.call("POST", "/v1/accounts", None, body, status=201)
    await api.call("GET", "/v1/me", second["session_token"], status=401)


async def test_a_changed_password_voids_reset_codes_and_known_devices(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOGIN_ACCOUNT", FEW)
    mine = await sign_up(api)
    await make_tenant(api, "root", operator=True)
    body = {"email": "root@example.com", "password": "root-password"}
    root = (await api.call("POST", "/v1/sessions", None, body, status=201))["session_token"]
    code = (await api.call("POST", "/v1/operator/password-resets", root, {"email": EMAIL}, status=201))["token"]
    change = {"current_password": PASSWORD, "new_password": NEW}
    changed = await api.call("PUT", "/v1/me/password", mine["session_token"], change)
    use = "/v1/password-resets/use"
    await api.call("POST", use, None, {"token": code, "new_password": "a third horse battery"}, status=404)
    await attack(api, 6)
    assert (await sign_in(api, NEW, device_token=mine["device_token"]))[0] == 429, "known by the old password alone"
    assert (await sign_in(api, NEW, device_token=changed["device_token"]))[0] == 201
    # A reset by one code leaves no other way in either.
    code = (await api.call("POST", "/v1/operator/password-resets", root, {"email": EMAIL}, status=201))["token"]
    await api.call("POST", use, None, {"token": code, "new_password": "a third horse battery"})
    await api.call("GET", "/v1/me", mine["session_token"], status=401)
    assert (await sign_in(api, NEW, device_token=changed["device_token"]))[0] in {401, 429}


async def test_of_a_reset_and_changes_at_once_one_wins_and_nothing_waits_for_ever(api: Api) -> None:
    mine = (await sign_up(api))["session_token"]
    await make_tenant(api, "root", operator=True)
    body = {"email": "root@example.com", "password": "root-password"}
    root = (await api.call("POST", "/v1/sessions", None, body, status=201))["session_token"]
    code = (await api.call("POST", "/v1/operator/password-resets", root, {"email": EMAIL}, status=201))["token"]
    change = {"current_password": PASSWORD, "new_password": NEW}
    reset = {"token": code, "new_password": "a third horse battery"}
    found = await asyncio.gather(
        api.call("PUT", "/v1/me/password", mine, change, status=None),
        api.call("POST", "/v1/password-resets/use", None, reset, status=None),
        api.call("PUT", "/v1/me/password", mine, change, status=None),
        *(api.call("POST", "/v1/operator/password-resets", root, {"email": EMAIL}, status=None) for _ in range(2)),
    )
    assert [status for status, _ in found[:3]].count(200) == 1
    assert {status for status, _ in found[:3]} <= {200, 401, 403, 404}
    assert [status for status, _ in found[3:]] == [201, 201]


@pytest.mark.parametrize("weak", ["password1234", "ann.doe-2024", "aldea1234567", "example12345", "Quokkazoo2026"])
async def test_a_password_that_is_guessed_first_is_refused_wherever_one_is_set(api: Api, weak: str) -> None:
    body = {"email": EMAIL, "password": weak, "name": "Ann Doe", "project_name": "Quokka Zoo"}
    refused = await api.call("POST", "/v1/accounts", None, body, status=400)
    assert refused["err_msg"].startswith("The password is ")
    assert weak not in refused["err_msg"]
    session = (await sign_up(api))["session_token"]
    await api.call("POST", "/v1/projects", session, {"name": "Quokka Zoo"}, status=201)
    change = {"current_password": PASSWORD, "new_password": weak}
    assert "The password is " in (await api.call("PUT", "/v1/me/password", session, change, status=400))["err_msg"]
    await make_tenant(api, "root", operator=True)
    body = {"email": "root@example.com", "password": "root-password"}
    root = (await api.call("POST", "/v1/sessions", None, body, status=201))["session_token"]
    code = (await api.call("POST", "/v1/operator/password-resets", root, {"email": EMAIL}, status=201))["token"]
    use = "/v1/password-resets/use"
    await api.call("POST", use, None, {"token": code, "new_password": weak}, status=400)
    await api.call("POST", use, None, {"token": code, "new_password": NEW})


async def test_a_sign_in_from_a_new_device_is_an_event_once_and_holds_no_secret(
    api: Api, redis_client: redis.Redis
) -> None:
    mine = await sign_up(api)
    path = f"/v1/projects/{(await api.call('GET', '/v1/me', mine['session_token']))['projects'][0]['project_id']}"

    async def events() -> list[Any]:
        found = (await api.call("GET", f"{path}/events", mine["session_token"]))["events"]
        return [event["data"] for event in found if event["type"] == "sign_in.new_device"]

    # Where they signed up, and a device that proves itself from anywhere, are known; a wrong password is no sign-in.
    async with api.client.post("/v1/sessions", json={"email": EMAIL, "password": PASSWORD}) as response:
        assert response.status == 201
    known = mine["device_token"]
    assert (await sign_in(api, address="198.51.100.1", agent="Elsewhere/1", device_token=known))[0] == 201
    assert (await sign_in(api, "wrong horse battery", agent="Eve/1"))[0] == 401
    assert await events() == []
    assert (await sign_in(api, agent="Eve/1.0"))[0] == 201
    assert (await sign_in(api, agent="Eve/1.1", address="203.0.113.77"))[0] == 201
    [found] = await events()
    assert found.keys() == {"user_id", "user_agent", "network"}
    assert (found["user_agent"], found["network"]) == ("Eve/1.0", "203.0.113.0/24")
    assert (await sign_in(api, agent="Eve/1.0", address="2001:db8::1", device_token="nonsense"))[0] == 201
    assert [event["network"] for event in await events()] == ["2001:db8::/48", "203.0.113.0/24"]
    # To the owner by mail, once for each.
    async with api.database.connection() as connection:
        assert await connection.fetchval("select count(*) from alert_deliveries where kind = 'mail'") == 2
        # Many more are known by the newest alone.
        for number in range(3):
            assert (await sign_in(api, agent="Eve", address=f"198.51.{number}.1"))[0] == 201
        await connection.execute(
            "insert into sign_in_clients (user_id, mark, seen) select user_id, sha256(n::text::bytea), now() + n * "
            "interval '1 s' from users cross join generate_series(1, 30) as n"
        )
    assert (await sign_in(api, agent="Eve", address="198.51.9.1"))[0] == 201
    async with api.database.connection() as connection:
        assert await connection.fetchval("select count(*) from sign_in_clients") == MOST
    # Another password: whoever was known is new.
    count = len(await events())
    body = {"current_password": PASSWORD, "new_password": NEW}
    await api.call("PUT", "/v1/me/password", mine["session_token"], body)
    assert (await sign_in(api, NEW, agent="Eve/1.0"))[0] == 201
    assert len(await events()) == count + 1


async def test_the_first_sign_in_of_somebody_whom_an_operator_made_is_no_event(api: Api) -> None:
    ann = await make_tenant(api, "ann")
    body = {"email": ann.email, "password": "ann-password"}
    for agent, expected in (("One", 0), ("One", 0), ("Two", 1)):
        async with api.client.post("/v1/sessions", json=body, headers={"User-Agent": agent}) as response:
            assert response.status == 201
        found = (await api.call("GET", f"/v1/projects/{ann.project_id}/events", ann.key))["events"]
        assert len([event for event in found if event["type"] == "sign_in.new_device"]) == expected
