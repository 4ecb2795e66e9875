"""Short-lived tokens: granted by the backend, honoured by both proxies, ended with what granted them."""

import asyncio
from typing import Any

import pytest
import redis.asyncio as redis
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from aldea.credentials import sha256_hex
from aldea.redis.schema import credential_key
from backend.api.authentication import AUTHENTICATOR
from backend.tokens import repository
from onebox.process import Process
from tests.fakes.stt import FakeStt
from tests.integration.conftest import Api, Tenant, sign_in
from tests.support.proxies import Service, final_of, running

PCM = "encoding=linear16&sample_rate=16000"


@pytest.fixture
async def loaded(api: Api, ann: Tenant, redis_client: redis.Redis) -> None:
    """Wait until Redis has Ann's key, as the backend's own pass brings it."""
    async with asyncio.timeout(60):
        while not (await redis_client.exists("keys:loaded") and await redis_client.exists(_cred(ann.key))):
            await asyncio.sleep(0.01)


def _cred(text: str) -> str:
    return credential_key(sha256_hex(text))


async def grant(api: Api, credential: str, status: int = 200, **body: Any) -> Any:
    return await api.call("POST", "/v1/auth/grant", credential, body or None, status=status)


def listen(http: ClientSession, proxy: Service, token: str) -> Any:
    return http.ws_connect(f"{proxy.url}/v1/listen?{PCM}", headers={"Authorization": f"Bearer {token}"})


async def refused(http: ClientSession, proxy: Service, token: str) -> int:
    with pytest.raises(WSServerHandshakeError) as error:
        async with listen(http, proxy, token):
            pass
    return error.value.status


async def closed(socket: ClientWebSocketResponse) -> int | None:
    async with asyncio.timeout(60):
        while (await socket.receive()).type not in {WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING}:
            pass
    return socket.close_code


async def test_a_token_of_a_key_opens_a_stream_that_is_booked_on_the_key(
    api: Api, ann: Tenant, loaded: None, http: ClientSession, proxy: Service, stt: FakeStt, redis_client: redis.Redis
) -> None:
    made = await grant(api, ann.key)
    assert made["access_token"].startswith("ats_")
    assert made["expires_in"] == 30
    assert 0 < await redis_client.pttl(_cred(made["access_token"])) <= 30_000
    async with listen(http, proxy, made["access_token"]) as socket:
        await socket.send_str('{"type":"CloseStream"}')
        assert await closed(socket) == 1000
    final = await final_of(redis_client, project_id=ann.project_id)
    assert (final.project_id, final.key_id) == (ann.project_id, ann.key_id)


@pytest.mark.parametrize("way", ["the key", "the key after its rotation", "a token of it"])
async def test_what_a_keys_tags_promise_is_in_the_usage_of_its_streams(
    api: Api, ann: Tenant, loaded: None, http: ClientSession, proxy: Service, stt: FakeStt, redis_client: redis.Redis,
    way: str,
) -> None:  # fmt: skip
    path = f"/v1/projects/{ann.project_id}/keys"
    made = await api.call("POST", path, ann.key, {"comment": "", "scopes": ["usage:write"], "tags": ["prod", "team a"]})
    if way == "the key after its rotation":
        made = await api.call("POST", f"{path}/{made['api_key_id']}/rotate", ann.key, {}, status=201)
    used = (await grant(api, made["key"]))["access_token"] if way == "a token of it" else made["key"]
    url = f"{proxy.url}/v1/listen?{PCM}&tag=mine&tag=prod"
    async with http.ws_connect(url, headers={"Authorization": f"Bearer {used}"}) as socket:
        await socket.send_str('{"type":"CloseStream"}')
        assert await closed(socket) == 1000
    final = await final_of(redis_client, project_id=ann.project_id)
    assert (final.key_id, final.tags) == (made["api_key_id"], ("prod", "team a", "mine"))


async def test_a_token_manages_nothing(api: Api, ann: Tenant) -> None:
    token = (await grant(api, ann.key))["access_token"]
    for method, path in (
        ("GET", "/v1/projects"),
        ("GET", f"/v1/projects/{ann.project_id}"),
        ("POST", "/v1/auth/grant"),
        ("GET", "/v1/me"),
    ):
        error = await api.call(method, path, token, status=401)
        assert error["err_code"] == "INVALID_AUTH"


async def test_a_token_expires_and_what_it_opened_goes_on(
    api: Api, ann: Tenant, loaded: None, http: ClientSession, proxy: Service, stt: FakeStt, redis_client: redis.Redis
) -> None:
    token = (await grant(api, ann.key, ttl_seconds=60))["access_token"]
    async with listen(http, proxy, token) as socket:
        assert 0 < await redis_client.pttl(_cred(token)) <= 60_000
        await redis_client.pexpire(_cred(token), 1)  # which may be over before a slow machine's stream is open
        async with asyncio.timeout(60):
            while await redis_client.exists(_cred(token)):
                await asyncio.sleep(0.02)
        assert await refused(http, proxy, token) == 401
        await socket.send_str('{"type":"CloseStream"}')
        assert await closed(socket) == 1000


async def test_revoking_the_key_ends_its_tokens_and_the_streams_that_they_opened(
    api: Api, ann: Tenant, loaded: None, http: ClientSession, proxy: Service, stt: FakeStt
) -> None:
    path = f"/v1/projects/{ann.project_id}/keys"
    made = await api.call("POST", path, ann.key, {"comment": "", "scopes": ["usage:write"]})
    token = (await grant(api, made["key"]))["access_token"]
    async with listen(http, proxy, token) as socket:
        await api.call("DELETE", f"{path}/{made['api_key_id']}", ann.key)
        assert await closed(socket) == 1008
    assert await refused(http, proxy, token) == 401


async def test_a_session_grants_for_its_own_projects_only_and_signing_out_ends_it(
    api: Api, ann: Tenant, bob: Tenant, loaded: None, http: ClientSession, proxy: Service, stt: FakeStt,
    redis_client: redis.Redis,
) -> None:  # fmt: skip
    session, other = await sign_in(api, ann.email), await sign_in(api, ann.email)
    assert (await grant(api, session, 400))["err_code"] == "Bad Request"
    await grant(api, session, 404, project_id=bob.project_id)
    token = (await grant(api, session, project_id=ann.project_id))["access_token"]
    kept = (await grant(api, other, project_id=ann.project_id))["access_token"]
    async with listen(http, proxy, token) as socket, listen(http, proxy, kept) as kept_socket:
        await api.call("DELETE", "/v1/sessions/current", session)
        assert await closed(socket) == 1008
        final = await final_of(redis_client, project_id=ann.project_id)
        assert (final.project_id, final.key_id) == (ann.project_id, ann.user_id)
        await kept_socket.send_str('{"type":"CloseStream"}')
        assert await closed(kept_socket) == 1000
    assert await refused(http, proxy, token) == 401
    await grant(api, session, 401, project_id=ann.project_id)
    # A session itself transcribes nothing.
    assert await refused(http, proxy, other) == 401


async def test_leaving_a_project_ends_the_tokens_of_that_project_and_no_others(
    api: Api, ann: Tenant, bob: Tenant, loaded: None, http: ClientSession, proxy: Service, stt: FakeStt
) -> None:
    owner, member = await sign_in(api, ann.email), await sign_in(api, bob.email)
    path = f"/v1/projects/{ann.project_id}"

    async def join() -> None:
        body = {"email": bob.email, "scope": "member"}
        invite = await api.call("POST", f"{path}/invites", owner, body)
        await api.call("POST", "/v1/invites/accept", member, {"token": invite["token"]})

    await join()
    token = (await grant(api, member, project_id=ann.project_id))["access_token"]
    own = (await grant(api, member, project_id=bob.project_id))["access_token"]
    async with listen(http, proxy, token) as socket:
        await api.call("DELETE", f"{path}/members/{bob.user_id}", owner)
        assert await closed(socket) == 1008
    assert await refused(http, proxy, token) == 401
    async with listen(http, proxy, own):
        pass
    # Who comes back is given new ones; the old stay ended.
    await join()
    again = (await grant(api, member, project_id=ann.project_id))["access_token"]
    async with listen(http, proxy, again):
        pass
    assert await refused(http, proxy, token) == 401


async def test_a_deleted_project_ends_what_its_keys_and_every_members_sessions_granted(
    api: Api, ann: Tenant, bob: Tenant, loaded: None, http: ClientSession, proxy: Service, stt: FakeStt
) -> None:
    owner, member = await sign_in(api, ann.email), await sign_in(api, bob.email)
    invite = {"email": bob.email, "scope": "member"}
    made = await api.call("POST", f"/v1/projects/{ann.project_id}/invites", owner, invite)
    await api.call("POST", "/v1/invites/accept", member, {"token": made["token"]})
    tokens = [
        (await grant(api, credential, project_id=ann.project_id))["access_token"]
        for credential in (owner, member, ann.key)
    ]
    own = (await grant(api, member, project_id=bob.project_id))["access_token"]
    await api.call("DELETE", f"/v1/projects/{ann.project_id}", owner)
    # As whatever ended: not one of them says that there was a project.
    assert [await refused(http, proxy, token) for token in tokens] == [401, 401, 401]
    async with listen(http, proxy, own):
        pass


async def test_a_new_password_ends_the_tokens_of_all_other_sessions(
    api: Api, ann: Tenant, loaded: None, http: ClientSession, proxy: Service, stt: FakeStt
) -> None:
    session, other = await sign_in(api, ann.email), await sign_in(api, ann.email)
    kept = (await grant(api, session, project_id=ann.project_id))["access_token"]
    ended = (await grant(api, other, project_id=ann.project_id))["access_token"]
    body = {"current_password": "ann-password", "new_password": "another-password"}
    await api.call("PUT", "/v1/me/password", session, body)
    assert await refused(http, proxy, ended) == 401
    async with listen(http, proxy, kept):
        pass


async def test_the_http_proxy_takes_a_token_and_a_keys_tags_too(
    api: Api, ann: Tenant, loaded: None, http: ClientSession, stt: FakeStt, stt_port: int, redis_server: Process,
    redis_client: redis.Redis, tmp_path: Any,
) -> None:  # fmt: skip
    token = (await grant(api, ann.key))["access_token"]
    with running(
        "http_proxy",
        tmp_path / "log",
        REDIS_URL=redis_server.url,  # type: ignore[attr-defined]
        STT_UPSTREAMS=f"http://127.0.0.1:{stt_port}",
    ) as service:
        for text, refused_by_admission in ((token, False), (token + "x", True)):
            headers = {"Authorization": f"Bearer {text}", "Content-Type": "audio/wav"}
            async with http.post(f"{service.url}/v1/listen", data=b"RIFF", headers=headers) as response:
                assert (response.status == 401) == refused_by_admission
        path = f"/v1/projects/{ann.project_id}/keys"
        body = {"comment": "", "scopes": ["usage:write"], "tags": ["prod"]}
        made = await api.call("POST", path, ann.key, body)
        headers = {"Authorization": f"Token {made['key']}", "Content-Type": "audio/wav"}
        async with http.post(f"{service.url}/v1/listen?tag=mine", data=b"RIFF", headers=headers) as response:
            final = await final_of(redis_client, response.headers["dg-request-id"])
    assert final.tags == ("prod", "mine")


async def test_what_ended_while_redis_was_unavailable_is_written_by_the_reconciliation(
    api: Api, ann: Tenant, loaded: None, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await sign_in(api, ann.email)
    token = (await grant(api, session, project_id=ann.project_id))["access_token"]
    parent: Any = await redis_client.hget(_cred(token), "parent")
    assert await redis_client.hget(credential_key(parent), "state") == "active"
    await redis_client.flushall()
    async with api.database.transaction() as connection:
        await repository.end(connection, ann.user_id)
    # There was no notification; the pass that fills an emptied Redis finds it.
    async with asyncio.timeout(60):
        while await redis_client.hget(credential_key(parent), "state") != "revoked":
            await asyncio.sleep(0.02)
    assert await redis_client.pttl(credential_key(parent)) > 0


async def test_a_session_that_ended_a_moment_ago_grants_nothing_even_where_it_is_remembered(
    api: Api, ann: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await sign_in(api, ann.email)
    await api.call("GET", "/v1/me", session)
    authenticator = api.client.app[AUTHENTICATOR]
    monkeypatch.setattr(authenticator, "forget_all", lambda: None)
    async with api.database.connection() as connection:
        await connection.execute("update sessions set ended = now()")
    await api.call("GET", "/v1/me", session)
    await grant(api, session, 401, project_id=ann.project_id)


async def test_a_suspended_project_grants_nothing_to_its_members(api: Api, ann: Tenant) -> None:
    session = await sign_in(api, ann.email)
    async with api.database.connection() as connection:
        await connection.execute("update projects set state = 'suspended'")
    await grant(api, session, 403, project_id=ann.project_id)
