"""deepgram-sdk 3 and 4 for Python: recorded, live, and every method of its management client."""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deepgram import (
    DeepgramApiError,
    DeepgramClient,
    DeepgramClientOptions,
    InviteOptions,
    KeyOptions,
    LiveOptions,
    LiveTranscriptionEvents,
    PrerecordedOptions,
    ProjectOptions,
    ScopeOptions,
    UsageFieldsOptions,
    UsageRequestOptions,
    UsageSummaryOptions,
)

AUDIO = Path("sample.wav").read_bytes()
PATIENCE_SECONDS = 200  # with a busy machine


def show(wire: str, **found: object) -> None:
    print(json.dumps({"wire": wire, **found}), flush=True)


def recorded(client: DeepgramClient) -> str:
    options = PrerecordedOptions(model="nova-3", punctuate=True, smart_format=True, tag=["python"])
    found = client.listen.rest.v("1").transcribe_file({"buffer": AUDIO}, options)
    words = found.results.channels[0].alternatives[0].words
    assert words[0].start < words[-1].end
    show(
        "recorded",
        request_id=found.metadata.request_id,
        transcript=found.results.channels[0].alternatives[0].transcript,
    )
    return str(found.metadata.request_id)


def live(client: DeepgramClient) -> None:
    socket = client.listen.websocket.v("1")
    words: list[str] = []
    ids: list[str] = []
    closed = threading.Event()

    def transcript(_: Any, result: Any, **__: Any) -> None:
        if result.is_final:
            words.append(result.channel.alternatives[0].transcript)

    def metadata(_: Any, metadata: Any, **__: Any) -> None:
        ids.append(metadata.request_id)
        if metadata.duration > 0:
            closed.set()

    socket.on(LiveTranscriptionEvents.Transcript, transcript)
    socket.on(LiveTranscriptionEvents.Metadata, metadata)
    assert socket.start(LiveOptions(model="nova-3", interim_results=True))
    socket.keep_alive()
    socket.send(AUDIO)
    socket.send(json.dumps({"type": "CloseStream"}))
    assert closed.wait(PATIENCE_SECONDS), "no Metadata at the end"
    socket.finish()
    show("live", request_id=ids[-1], transcript=" ".join(words))


def manage(client: DeepgramClient, request_id: str) -> None:
    api = client.manage.v("1")
    project = api.get_projects().projects[0].project_id
    key = api.create_key(project, KeyOptions(comment="python", scopes=["usage:read"], time_to_live_in_seconds=300))
    assert key.key.startswith("org_")
    member = api.get_members(project).members[0]
    model = api.get_models().stt[0]
    balance = api.get_balances(project).balances[0]
    guests = [f"{{{name}}}@example.com" for name in ("guest", "other")]
    calls: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "get_project": (api.get_project, (project,)),
        "list_projects": (api.list_projects, ()),
        "update_project": (api.update_project, (project, "Demo")),
        "update_project_option": (api.update_project_option, (project, ProjectOptions(name="Demo"))),
        "get_model": (api.get_model, (model.uuid,)),
        "list_models": (api.list_models, ()),
        "get_project_models": (api.get_project_models, (project,)),
        "list_project_models": (api.list_project_models, (project,)),
        "get_project_model": (api.get_project_model, (project, model.uuid)),
        "get_keys": (api.get_keys, (project,)),
        "list_keys": (api.list_keys, (project,)),
        "get_key": (api.get_key, (project, key.api_key_id)),
        "delete_key": (api.delete_key, (project, key.api_key_id)),
        "list_members": (api.list_members, (project,)),
        "get_member_scopes": (api.get_member_scopes, (project, member.member_id)),
        "send_invite": (api.send_invite, (project, guests[0])),
        "send_invite_options": (api.send_invite_options, (project, InviteOptions(email=guests[1], scope="admin"))),
        "get_invites": (api.get_invites, (project,)),
        "list_invites": (api.list_invites, (project,)),
        "delete_invite": (api.delete_invite, (project, guests[0])),
        "delete_invite of a name": (api.delete_invite, (project, guests[1])),
        "get_usage_requests": (api.get_usage_requests, (project, UsageRequestOptions(limit=10, status="succeeded"))),
        "get_usage_request": (api.get_usage_request, (project, request_id)),
        "get_usage_summary": (
            api.get_usage_summary, (project, UsageSummaryOptions(tag="python", method="sync", punctuate=True)),
        ),
        "get_usage_fields": (api.get_usage_fields, (project, UsageFieldsOptions())),
        "list_balances": (api.list_balances, (project,)),
        "get_balance": (api.get_balance, (project, balance.balance_id)),
    }  # fmt: skip
    # Usage is there some seconds after the response.
    deadline = time.monotonic() + PATIENCE_SECONDS
    options = UsageRequestOptions(limit=100)
    while request_id not in [one.request_id for one in api.get_usage_requests(project, options).requests]:
        assert time.monotonic() < deadline, "the request is not listed"
        time.sleep(0.2)
    faults = []
    for name, (method, arguments) in calls.items():
        try:
            method(*arguments)
        except Exception as fault:  # noqa: BLE001 - all of them are wanted at once
            faults.append(f"{name}: {type(fault).__name__}: {fault}")
    # A key is no person, and cannot change who has more rights than it.
    refused: tuple[tuple[Callable[..., Any], tuple[Any, ...]], ...] = (
        (api.leave_project, (project,)),
        (api.update_member_scope, (project, member.member_id, ScopeOptions(scope="member"))),
    )
    for method, arguments in refused:
        try:
            method(*arguments)
            faults.append(f"{method.__name__} was not refused")
        except DeepgramApiError as refusal:
            faults += [] if str(refusal.status) == "403" else [str(refusal)]
    assert not faults, "\n".join(faults)
    show("management", methods=len(calls) + len(refused))


def main() -> None:
    client = DeepgramClient(os.environ["ALDEA_KEY"], DeepgramClientOptions(url=os.environ["ALDEA_URL"]))
    request_id = recorded(client)
    live(client)
    manage(client, request_id)


if __name__ == "__main__":
    main()
