"""Every method of the official SDK's clients, found by walking their classes: served with filled types, or refused.

What a new release of the SDK adds is in neither table here, and this test fails until it is.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pydantic
import pytest
from deepgram import AsyncDeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment

from aldea import speech_model
from aldea.usage.envelope import Stamped
from aldea.usage.reading import Rank
from backend.credits import repository as credits_of
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import Writer
from tests.clients.python.sdk_tree import ABSENT_STREAMS, PROJECT, SPEECH, absent, called, is_filled, methods, offered
from tests.integration.conftest import Api, Tenant, sign_in
from tests.readings import reading


@pytest.fixture
async def client(backend_url: str, ann: Tenant) -> AsyncIterator[AsyncDeepgramClient]:
    async with httpx.AsyncClient(timeout=60) as http:
        yield sdk(backend_url, ann.key, http)


def sdk(url: str, key: str, http: httpx.AsyncClient) -> AsyncDeepgramClient:
    environment = DeepgramClientEnvironment(base=url, production=url, agent=url, agent_rest=url)
    return AsyncDeepgramClient(api_key=key, environment=environment, httpx_client=http)


async def used(api: Api, tenant: Tenant) -> str:
    """A project with all that a list can show; the id of its request that has ended. Another one still runs."""
    common: dict[str, Any] = {
        "project_id": tenant.project_id, "key_id": tenant.key_id, "tags": ("prod",), "model": "nova-3",
        "features": ("diarize", "smart_format"),
        "started_ms": int((datetime.now(UTC) - timedelta(minutes=5)).timestamp() * 1000),
    }  # fmt: skip
    ended = reading(**common, rank=Rank.FINAL, audio_ms=1_800_000, status=101, close_code=1000)
    running = reading(**common, rank=Rank.OPEN, audio_ms=1000)
    await Writer(api.database).merge(reduce_batch(Stamped(one, 0) for one in (ended, running)))
    async with api.database.connection() as connection:
        await credits_of.insert(connection, tenant.project_id, 10_000_000, "test")
    return ended.request_id


async def test_every_method_is_served_with_filled_types_or_refused_with_a_sentence(
    client: AsyncDeepgramClient, backend_url: str, api: Api, ann: Tenant, bob: Tenant
) -> None:
    found = dict(methods(client))
    request_id, project = await used(api, ann), ann.project_id
    await joined(api, ann, bob)
    key = await client.manage.v1.projects.keys.create(project, request={"comment": "x", "scopes": ["usage:read"]})
    served = offered(project, speech_model.UUID, ann.key_id, key.api_key_id, bob.user_id, request_id)
    refused_ones = absent(project, str(uuid4()))
    last = {f"{PROJECT}.leave", f"{PROJECT}.delete"}
    assert set(found) == {*served, *refused_ones, *last, *SPEECH, *ABSENT_STREAMS}

    for path, wanted in served.items():
        result = await called(found[path], wanted)
        if not path.endswith("keys.delete"):
            assert isinstance(result, pydantic.BaseModel), path
            is_filled(result, path)
    listed = await client.manage.v1.projects.requests.list(project)
    assert [row.request_id for row in listed.requests or []] == [request_id]
    for path, wanted in refused_ones.items():
        with pytest.raises(ApiError) as refused:
            await called(found[path], wanted)
        assert refused.value.status_code == 404, path
        assert " here" in str(refused.value.body) or "self-hosting" in str(refused.value.body), path

    await joined(api, ann, bob)
    async with httpx.AsyncClient(timeout=60) as http:
        # A member leaves by a session: a key is no member.
        theirs = sdk(backend_url, await sign_in(api, bob.email), http)
        is_filled(await theirs.manage.v1.projects.leave(project), "leave")
        owner = sdk(backend_url, await sign_in(api, ann.email), http)
        is_filled(await owner.manage.v1.projects.delete(project), "delete")


async def joined(api: Api, ann: Tenant, bob: Tenant) -> None:
    owner, other = await sign_in(api, ann.email), await sign_in(api, bob.email)
    path = f"/v1/projects/{ann.project_id}/invites"
    invite = await api.call("POST", path, owner, {"email": bob.email, "scope": "member"})
    await api.call("POST", "/v1/invites/accept", other, {"token": invite["token"]})
