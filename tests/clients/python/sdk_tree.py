"""The official SDK's own classes, 5 and later: every method of a client, and whether a result is filled and typed."""

import inspect
from collections.abc import Iterator
from typing import Any, Final

import pydantic

PROJECT: Final = "manage.v1.projects"
# What a result may leave empty: what is null unless it was grouped by, and a callback that was not requested.
MAY_BE_EMPTY: Final = frozenset(
    {"feature_set", "models", "method", "tags", "deployment", "endpoint", "line_item", "accessor", "callback", "tts",
     "last_used", "made_by", "service", "expiration_date"}
)  # fmt: skip
# Transcription itself: other tests call it.
SPEECH: Final = {"listen.v1.connect", "listen.v1.media.transcribe_file", "listen.v1.media.transcribe_url",
                 "listen.v2.connect"}  # fmt: skip
# WebSockets of what is not offered: the load balancer knows none of their addresses.
ABSENT_STREAMS: Final = {"agent.v1.connect", "speak.v1.connect", "speak.v2.connect"}

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


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


async def called(method: Any, arguments: Arguments) -> Any:
    made = method(*arguments[0], **arguments[1])
    if inspect.isasyncgen(made):
        return [piece async for piece in made]
    return await made


def is_filled(found: Any, place: str, may_be_empty: frozenset[str] = MAY_BE_EMPTY) -> None:
    """It is of the SDK's own type, and so is all in it; nothing is empty that need not be.

    The SDK's models take whatever comes; here each field is held to the type that is declared.
    """
    if isinstance(found, list):
        assert found or place.rpartition(".")[2] in may_be_empty, place
        for one in found:
            is_filled(one, place, may_be_empty)
    elif isinstance(found, pydantic.BaseModel):
        for name, declared in type(found).model_fields.items():
            value = getattr(found, name)
            assert value is not None or name in may_be_empty, f"{place}.{name}"
            if value is not None:
                kind: Any = pydantic.TypeAdapter(declared.annotation, config=None)
                try:
                    kind.validate_python(value, strict=True)
                except pydantic.ValidationError as fault:
                    raise AssertionError(f"{place}.{name} is {value!r}: {fault}") from None
            is_filled(value, f"{place}.{name}", may_be_empty)


def arguments(*positional: Any, **named: Any) -> Arguments:
    return positional, named


def offered(
    project: str, model: str, key_id: str, old_key_id: str, member_id: str, request_id: str
) -> dict[str, Arguments]:
    """How each method is called that this platform serves; `old_key_id` is of a key that is deleted."""
    return {
        "auth.v1.tokens.grant": arguments(),
        "manage.v1.models.list": arguments(include_outdated=True),
        "manage.v1.models.get": arguments(model),
        f"{PROJECT}.list": arguments(),
        f"{PROJECT}.get": arguments(project),
        f"{PROJECT}.update": arguments(project, name="Demo"),
        f"{PROJECT}.models.list": arguments(project, include_outdated=False),
        f"{PROJECT}.models.get": arguments(project, model),
        f"{PROJECT}.keys.list": arguments(project, status="active"),
        f"{PROJECT}.keys.get": arguments(project, key_id),
        f"{PROJECT}.keys.create": arguments(
            project, request={"comment": "y", "scopes": ["usage:read"], "time_to_live_in_seconds": 300.0, "tags": ["a"]}
        ),
        f"{PROJECT}.keys.delete": arguments(project, old_key_id),
        f"{PROJECT}.members.list": arguments(project),
        f"{PROJECT}.members.scopes.list": arguments(project, member_id),
        f"{PROJECT}.members.scopes.update": arguments(project, member_id, scope="admin"),
        f"{PROJECT}.members.delete": arguments(project, member_id),
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


def absent(project: str, some: str) -> dict[str, Arguments]:
    """How each method is called that this platform refuses with a sentence."""
    return {
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
