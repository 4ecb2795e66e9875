"""Every method of the official SDK's clients, found by walking their classes: served with filled types, or refused.

What a new release of the SDK adds is in neither table here, and this test fails until it is.
"""

import inspect
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
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
from tests.integration.conftest import Api, Tenant, sign_in
from tests.readings import reading

# Transcription itself: the end-to-end tests call it.
SPEECH: Final = {"listen.v1.connect", "listen.v1.media.transcribe_file", "listen.v1.media.transcribe_url",
                 "listen.v2.connect"}  # fmt: skip
# WebSockets of what is not offered: the load balancer knows none of their addresses.
ABSENT_STREAMS: Final = {"agent.v1.connect", "speak.v1.connect", "speak.v2.connect"}
PROJECT: Final = "manage.v1.projects"
# What a result may leave empty: what is null unless it was grouped by, and a callback that was not requested.
MAY_BE_EMPTY: Final = frozenset(
    {"feature_set", "models", "method", "tags", "deployment", "endpoint", "line_item", "accessor", "callback", "tts",
     "last_used", "made_by", "service", "expiration_date"}
)  # fmt: skip


def methods(client: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All public methods below a client, by their dotted paths."""
    for name in dir(type(client)):
        if name.startswith("_") or name == "with_raw_response":
            continue
        member = getattr(type(client), name)
        if isinstance(member, property):
            below = getattr(client, name)
            if type(below).__module__.startswith("deepgram."):
                yield from methods(below, f"{path}{name}.")
        elif callable(member):
            yield path + name, getattr(client, name)


async def called(method: Any, arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
    made = method(*arguments[0], **arguments[1])
    if inspect.isasyncgen(made):
        return [piece async for piece in made]
    return await made


def is_filled(found: Any, place: str) -> None:
    """It is of the SDK's own type, and so is all in it; nothing is empty that need not be."""
    if isinstance(found, list):
        assert found or place.rpartition(".")[2] in MAY_BE_EMPTY, place
        for one in found:
            is_filled(one, place)
    elif isinstance(found, pydantic.BaseModel):
        for name in type(found).model_fields:
            value = getattr(found, name)
            assert value is not None or name in MAY_BE_EMPTY, f"{place}.{name}"
            is_filled(value, f"{place}.{name}")


def arguments(*positional: Any, **named: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return positional, named


@pytest.fixture
async def client(backend_url: str, ann: Tenant) -> AsyncIterator[AsyncDeepgramClient]:
    async with httpx.AsyncClient(timeout=20) as http:
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
    served = {
        "auth.v1.tokens.grant": arguments(),
        "manage.v1.models.list": arguments(include_outdated=True),
        "manage.v1.models.get": arguments(speech_model.UUID),
        f"{PROJECT}.list": arguments(),
        f"{PROJECT}.get": arguments(project),
        f"{PROJECT}.update": arguments(project, name="Call centre"),
        f"{PROJECT}.models.list": arguments(project, include_outdated=False),
        f"{PROJECT}.models.get": arguments(project, speech_model.UUID),
        f"{PROJECT}.keys.list": arguments(project, status="active"),
        f"{PROJECT}.keys.get": arguments(project, ann.key_id),
        f"{PROJECT}.keys.create": arguments(
            project, request={"comment": "y", "scopes": ["usage:read"], "time_to_live_in_seconds": 300.0, "tags": ["a"]}
        ),
        f"{PROJECT}.keys.delete": arguments(project, key.api_key_id),
        f"{PROJECT}.members.list": arguments(project),
        f"{PROJECT}.members.scopes.list": arguments(project, bob.user_id),
        f"{PROJECT}.members.scopes.update": arguments(project, bob.user_id, scope="admin"),
        f"{PROJECT}.members.delete": arguments(project, bob.user_id),
        f"{PROJECT}.members.invites.create": arguments(project, email="{c}@example.com", scope="member"),
        f"{PROJECT}.members.invites.list": arguments(project),
        f"{PROJECT}.members.invites.delete": arguments(project, "{c}@example.com"),
        f"{PROJECT}.requests.list": arguments(project, limit=10, page=0, deployment="hosted", endpoint="listen"),
        f"{PROJECT}.requests.get": arguments(project, request_id),
        f"{PROJECT}.usage.get": arguments(project, diarize=True, version=False, model="nova-3", method="streaming"),
        f"{PROJECT}.usage.breakdown.get": arguments(project, grouping="models", smart_format=True),
        f"{PROJECT}.usage.fields.list": arguments(project),
        f"{PROJECT}.billing.balances.list": arguments(project),
        f"{PROJECT}.billing.balances.get": arguments(project, project),
        f"{PROJECT}.billing.breakdown.list": arguments(
            project, grouping=["accessor", "deployment", "line_item", "tags"], deployment="hosted", tag="prod"
        ),
        f"{PROJECT}.billing.fields.list": arguments(project),
        f"{PROJECT}.billing.purchases.list": arguments(project, limit=5),
    }
    some = str(uuid4())
    absent = {
        "agent.v1.settings.think.models.list": arguments(),
        "read.v1.text.analyze": arguments(request={"text": "x"}),
        "speak.v1.audio.generate": arguments(text="x"),
        "speak.v2.audio.generate": arguments(text="x", model="m"),
        "self_hosted.v1.distribution_credentials.list": arguments(project),
        "self_hosted.v1.distribution_credentials.create": arguments(project),
        "self_hosted.v1.distribution_credentials.get": arguments(project, some),
        "self_hosted.v1.distribution_credentials.delete": arguments(project, some),
        "voice_agent.configurations.list": arguments(project),
        "voice_agent.configurations.create": arguments(project, config="{}"),
        "voice_agent.configurations.get": arguments(project, some),
        "voice_agent.configurations.update": arguments(project, some, metadata={}),
        "voice_agent.configurations.delete": arguments(project, some),
        "voice_agent.variables.list": arguments(project),
        "voice_agent.variables.create": arguments(project, key="k", value="v"),
        "voice_agent.variables.get": arguments(project, some),
        "voice_agent.variables.update": arguments(project, some, value="v"),
        "voice_agent.variables.delete": arguments(project, some),
    }
    last = {f"{PROJECT}.leave", f"{PROJECT}.delete"}
    assert set(found) == {*served, *absent, *last, *SPEECH, *ABSENT_STREAMS}

    for path, wanted in served.items():
        result = await called(found[path], wanted)
        if not path.endswith("keys.delete"):
            assert isinstance(result, pydantic.BaseModel), path
            is_filled(result, path)
    listed = await client.manage.v1.projects.requests.list(project)
    assert [row.request_id for row in listed.requests or []] == [request_id]
    for path, wanted in absent.items():
        with pytest.raises(ApiError) as refused:
            await called(found[path], wanted)
        assert refused.value.status_code == 404, path
        assert " here" in str(refused.value.body) or "self-hosting" in str(refused.value.body), path

    await joined(api, ann, bob)
    async with httpx.AsyncClient(timeout=20) as http:
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
