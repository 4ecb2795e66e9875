"""Accounts and sessions over HTTP: sign-up, sign-in and its limits, sign-out, passwords, operators."""

import asyncio
import sys
from typing import Any

import pytest
import redis.asyncio as redis
from structlog.testing import capture_logs

from aldea.credentials import sha256_hex
from backend.accounts import service
from backend.accounts.passwords import NOBODY, Passwords
from backend.api.throttle import Rule
from tests.integration.conftest import Api, Tenant, make_tenant

PASSWORD = "correct horse battery"


async def sign_up(api: Api, name: str = "ann", **body: Any) -> Any:
    body = {"email": f"{name}@example.com", "password": PASSWORD, "name": f"{name} Doe", **body}
    return await api.call("POST", "/v1/accounts", None, body, status=201)


async def sign_in(api: Api, email: str, password: str, status: int = 201) -> Any:
    return await api.call("POST", "/v1/sessions", None, {"email": email, "password": password}, status=status)


async def test_a_new_account_is_signed_in_and_owns_a_project_with_credit_that_redis_knows(
    api: Api, redis_client: redis.Redis
) -> None:
    session = await sign_up(api, project_name="Call centre")
    assert session["user"]["email"] == "ann@example.com"
    me = await api.call("GET", "/v1/me", session["session_token"])
    assert me["user"] == session["user"] == {**me["user"], "name": "ann Doe", "operator": False}
    [project] = me["projects"]
    assert (project["name"], project["role"], project["state"]) == ("Call centre", "owner", "active")
    assert await redis_client.hget(f"project:{project['project_id']}", "state") == "active"
    async with api.database.connection() as connection:
        assert await connection.fetchval("select amount_micros from ledger_entries") == 200_000_000
    made = await api.call(
        "POST",
        f"/v1/projects/{project['project_id']}/keys",
        session["session_token"],
        {"comment": "first", "scopes": ["usage:write"]},
    )
    assert made["key"].startswith("org_")


async def test_an_address_has_one_account_however_it_is_spelled_and_the_response_does_not_confirm_it(api: Api) -> None:
    await sign_up(api)
    taken = await api.call(
        "POST",
        "/v1/accounts",
        None,
        {"email": "ANN@Example.com", "password": PASSWORD, "name": "Other"},
        status=409,
    )
    assert taken["err_code"] == "ACCOUNT_UNAVAILABLE"
    for word in ("exist", "taken", "already", "ann@"):
        assert word not in taken["err_msg"].lower()
    async with api.database.connection() as connection:
        assert await connection.fetchval("select count(*) from projects") == 1


async def test_no_text_of_a_session_and_no_password_is_stored(api: Api, redis_client: redis.Redis) -> None:
    token = (await sign_up(api))["session_token"]
    async with api.database.connection() as connection:
        rows = await connection.fetch("select to_jsonb(sessions)::text from sessions")
        rows += await connection.fetch("select to_jsonb(users)::text from users")
        rows += await connection.fetch("select to_jsonb(audit_log)::text from audit_log")
    assert sha256_hex(token) in str(rows)
    assert token not in str(rows)
    assert PASSWORD not in str(rows)
    assert not [name for name in await redis_client.keys() if "ann@" in name or token in name]


async def test_signing_in_takes_the_password_and_an_unknown_address_looks_like_a_wrong_one(api: Api) -> None:
    await sign_up(api)
    session = await sign_in(api, " Ann@EXAMPLE.com".strip(), PASSWORD)
    await api.call("GET", "/v1/me", session["session_token"])
    wrong = await sign_in(api, "ann@example.com", "wrong horse battery", 401)
    unknown = await sign_in(api, "nobody@example.com", "wrong horse battery", 401)
    assert wrong["err_code"] == unknown["err_code"] == "INVALID_AUTH"
    assert wrong["err_msg"] == unknown["err_msg"]
    # What an absent account is verified against has a password; it opens nothing either.
    await sign_in(api, "nobody@example.com", "nobody has this password", 401)


async def test_signing_out_ends_this_session_and_no_other(api: Api) -> None:
    first = (await sign_up(api))["session_token"]
    second = (await sign_in(api, "ann@example.com", PASSWORD))["session_token"]
    await api.call("GET", "/v1/me", first)
    await api.call("DELETE", "/v1/sessions/current", first)
    await api.call("GET", "/v1/me", first, status=401)
    await api.call("GET", "/v1/me", second)


async def test_a_session_ends_by_itself(api: Api) -> None:
    token = (await sign_up(api))["session_token"]
    async with api.database.connection() as connection:
        await connection.execute("update sessions set expires = now()")
    await api.call("GET", "/v1/me", token, status=401)


async def test_changing_the_password_takes_the_present_one_and_ends_all_other_sessions(api: Api) -> None:
    first = (await sign_up(api))["session_token"]
    second = (await sign_in(api, "ann@example.com", PASSWORD))["session_token"]
    await api.call("GET", "/v1/me", first)
    new = "another horse battery"
    body = {"current_password": "wrong", "new_password": new}
    await api.call("PUT", "/v1/me/password", second, body, status=403)
    await api.call("GET", "/v1/me", first)
    await api.call("PUT", "/v1/me/password", second, {"current_password": PASSWORD, "new_password": new})
    await api.call("GET", "/v1/me", first, status=401)
    await api.call("GET", "/v1/me", second)
    await sign_in(api, "ann@example.com", PASSWORD, 401)
    await sign_in(api, "ann@example.com", new)


async def test_a_sign_in_that_crosses_a_password_change_begins_no_session(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sign_up(api)
    verify = Passwords.verify

    async def change_meanwhile(self: Any, stored: str | None, password: str) -> bool:
        fits = await verify(self, stored, password)
        async with api.database.connection() as connection:
            await connection.execute("update users set password_hash = $1", NOBODY)
        return fits

    monkeypatch.setattr(Passwords, "verify", change_meanwhile)
    await sign_in(api, "ann@example.com", PASSWORD, 401)


async def test_wrong_passwords_are_limited_by_account_and_address_and_right_ones_are_not(
    api: Api, monkeypatch: pytest.MonkeyPatch, redis_client: redis.Redis
) -> None:
    monkeypatch.setattr(service, "LOGIN_PAIR", Rule("login-pair", 3, 60))
    await sign_up(api)
    await sign_up(api, "bob")
    for _ in range(5):
        await sign_in(api, "ann@example.com", PASSWORD)
    for _ in range(3):
        await sign_in(api, "Ann@example.com", "wrong", 401)
    async with api.client.post("/v1/sessions", json={"email": "ann@example.com", "password": PASSWORD}) as response:
        assert response.status == 429
        assert 0 < int(response.headers["Retry-After"]) <= 60
    await sign_in(api, "bob@example.com", PASSWORD)
    # From elsewhere the account can still be reached; an address that no trusted hop vouches for is none.
    async with api.client.post(
        "/v1/sessions",
        json={"email": "ann@example.com", "password": PASSWORD},
        headers={"X-Forwarded-For": "203.0.113.9"},
    ) as response:
        assert response.status == 201
    for name in await redis_client.keys("throttle:*"):
        assert await redis_client.ttl(name) > 0


async def test_sign_ups_and_unknown_accounts_are_limited_by_address(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SIGN_UP_ADDRESS", Rule("sign-up-address", 1, 60))
    monkeypatch.setattr(service, "LOGIN_ADDRESS", Rule("login-address", 2, 60))
    await sign_up(api)
    body = {"email": "bob@example.com", "password": PASSWORD, "name": "Bob"}
    await api.call("POST", "/v1/accounts", None, body, status=429)
    for number in range(2):
        await sign_in(api, f"nobody{number}@example.com", "x", 401)
    await sign_in(api, "nobody2@example.com", "x", 429)


async def test_a_forgotten_password_is_reset_once_by_an_operators_token(api: Api) -> None:
    old = (await sign_up(api))["session_token"]
    await make_tenant(api, "root", operator=True)
    root = (await sign_in(api, "root@example.com", "root-password"))["session_token"]
    path, body = "/v1/operator/password-resets", {"email": "Ann@example.com"}
    await api.call("POST", path, old, body, status=403)
    await api.call("POST", path, root, {"email": "nobody@example.com"}, status=404)
    first = (await api.call("POST", path, root, body, status=201))["token"]
    second = (await api.call("POST", path, root, body, status=201))["token"]
    new = "remembered horse battery"
    use = "/v1/password-resets/use"
    await api.call("POST", use, None, {"token": first, "new_password": new}, status=404)
    await api.call("POST", use, None, {"token": second, "new_password": "short"}, status=400)
    await api.call("POST", use, None, {"token": second, "new_password": new})
    await api.call("POST", use, None, {"token": second, "new_password": new}, status=404)
    await api.call("GET", "/v1/me", old, status=401)
    await sign_in(api, "ann@example.com", new)
    async with api.database.connection() as connection:
        actions = await connection.fetch("select actor_kind, action from audit_log where action like 'password%'")
    assert [tuple(row) for row in actions] == [
        ("operator", "password_reset.issue"),
        ("operator", "password_reset.issue"),
        ("user", "password.change"),
    ]


async def test_a_name_is_changed_at_once_an_address_with_the_password(api: Api) -> None:
    session = (await sign_up(api))["session_token"]
    await sign_up(api, "bob")
    changed = await api.call("PATCH", "/v1/me", session, {"name": " Ann Smith "})
    assert (changed["name"], changed["email"]) == ("Ann Smith", "ann@example.com")
    for body, status in (
        ({}, 400),
        ({"name": " "}, 400),
        ({"name": "Ann\u202e"}, 400),
        ({"email": "smith@example.com"}, 400),
        ({"email": "smith", "current_password": PASSWORD}, 400),
        ({"email": "smith@example.com", "current_password": "wrong"}, 403),
        ({"name": "Other", "email": "BOB@example.com", "current_password": PASSWORD}, 409),
    ):
        await api.call("PATCH", "/v1/me", session, body, status=status)
    assert (await api.call("GET", "/v1/me", session))["user"] == changed
    body = {"email": "Smith@example.com", "current_password": PASSWORD}
    moved = await api.call("PATCH", "/v1/me", session, body)
    assert (moved["name"], moved["email"]) == ("Ann Smith", "Smith@example.com")
    assert (await api.call("GET", "/v1/me", session))["user"] == moved
    # Its own address in another spelling is no other account's.
    await api.call("PATCH", "/v1/me", session, {**body, "email": "smith@example.com"})
    await sign_in(api, "ann@example.com", PASSWORD, 401)
    await sign_in(api, "smith@example.com", PASSWORD)
    async with api.database.connection() as connection:
        lines = await connection.fetch("select detail->'changed' from audit_log where action = 'account.change'")
    assert [line[0] for line in lines] == ['["name"]', '["email"]', '["email"]']


async def test_an_account_without_projects_is_deleted_and_leaves_nothing_that_says_whose_it_was(api: Api) -> None:
    made = await sign_up(api)
    session, other = made["session_token"], (await sign_in(api, "ann@example.com", PASSWORD))["session_token"]
    [project] = (await api.call("GET", "/v1/me", session))["projects"]
    right = {"current_password": PASSWORD}
    await api.call("DELETE", "/v1/me", session, {"current_password": "wrong"}, status=403)
    refused = await api.call("DELETE", "/v1/me", session, right, status=409)
    assert "a member of one project: “My project”" in refused["err_msg"]
    await api.call("DELETE", f"/v1/projects/{project['project_id']}", session)
    await api.call("DELETE", "/v1/me", session, right)
    for token in (session, other):
        await api.call("GET", "/v1/me", token, status=401)
    await sign_in(api, "ann@example.com", PASSWORD, 401)
    async with api.database.connection() as connection:
        row = await connection.fetchrow("select * from users")
        line = await connection.fetchrow("select actor_id::text, detail from audit_log where action = 'account.delete'")
    assert line is not None
    assert line["actor_id"] == made["user"]["user_id"]
    assert "ann" not in f"{row} {line}".lower()
    # The address is free again, for another account.
    again = await sign_up(api)
    assert again["user"]["user_id"] != made["user"]["user_id"]


async def test_a_key_is_no_person(api: Api, ann: Tenant) -> None:
    for method, path in (("GET", "/v1/me"), ("DELETE", "/v1/sessions/current")):
        await api.call(method, path, ann.key, status=403)


async def test_the_command_line_makes_an_account_an_operator_at_once(api: Api, database_url: str, ann: Tenant) -> None:
    token = (await sign_in(api, ann.email, "ann-password"))["session_token"]
    body = {"email": ann.email}
    await api.call("POST", "/v1/operator/password-resets", token, body, status=403)

    async def run(*arguments: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "backend", "operator", *arguments,
            env={"DATABASE_URL": database_url, "PYTHONPATH": "services", "PATH": "", "PYTHONWARNINGS": "error"},
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(60):
            _, reported = await process.communicate()
        return process.returncode, reported.decode()

    assert (await run("nobody@example.com"))[0] == 1
    assert await run("Ann@example.com") == (0, "Ann@example.com is an operator.\n")
    await api.call("POST", "/v1/operator/password-resets", token, body, status=201)
    assert (await run(ann.email, "--revoke"))[0] == 0
    assert (await api.call("GET", "/v1/me", token))["user"]["operator"] is False


async def test_who_signed_in_was_refused_or_reset_is_logged_by_the_accounts_id_and_nothing_secret_is(api: Api) -> None:
    other = "another horse battery"
    with capture_logs() as lines:
        session = await sign_up(api)
        await sign_in(api, "ann@example.com", "wrong horse battery", status=401)
        await sign_in(api, "nobody@example.com", PASSWORD, status=401)
        signed_in = await sign_in(api, "ann@example.com", PASSWORD)
        token = signed_in["session_token"]
        wrong = {"current_password": "wrong horse battery", "new_password": other}
        await api.call("PUT", "/v1/me/password", token, wrong, status=403)
        await api.call("PUT", "/v1/me/password", token, {"current_password": PASSWORD, "new_password": other})
        await api.call("DELETE", "/v1/sessions/current", token)
        async with api.database.connection() as connection:
            await connection.execute("update users set operator = true")
        operator = (await sign_in(api, "ann@example.com", other))["session_token"]
        reset = await api.call(
            "POST", "/v1/operator/password-resets", operator, {"email": "ann@example.com"}, status=201
        )
        use = {"token": reset["token"], "new_password": PASSWORD}
        await api.call("POST", "/v1/password-resets/use", None, use)
        await api.call("POST", "/v1/password-resets/use", None, use, status=404)
    user_id = session["user"]["user_id"]
    assert [(line["event"], line["user_id"]) for line in lines if "user_id" in line] == [
        ("signed up", user_id),
        ("sign-in refused", user_id),
        ("sign-in refused", None),
        ("signed in", user_id),
        ("password change refused", user_id),
        ("password changed", user_id),
        ("signed out", user_id),
        ("signed in", user_id),
        ("password reset issued", user_id),
        ("password reset used", user_id),
        ("password reset refused", None),
    ]
    for secret in (PASSWORD, other, "wrong horse battery", "example.com", token, operator, reset["token"]):
        assert secret not in str(lines)
