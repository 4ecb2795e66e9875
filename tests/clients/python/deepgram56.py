"""deepgram-sdk 5 and 6 for Python: recorded, live, turn-based, and every method that their classes have."""

import asyncio
import json
import os
import time
from importlib import metadata
from pathlib import Path
from typing import Any
from uuid import uuid4

import pydantic
from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment
from sdk_tree import (
    ABSENT_STREAMS,
    MAY_BE_EMPTY,
    PROJECT,
    SPEECH,
    Arguments,
    absent,
    arguments,
    called,
    is_filled,
    methods,
    offered,
)  # fmt: skip

AUDIO = Path("sample.wav").read_bytes()
PIECE = 3200
PATIENCE_SECONDS = 200  # with a busy machine
# A key is no person: it cannot leave a project, nor change who has more rights than it. Nobody deletes this project.
NOT_BY_A_KEY = {f"{PROJECT}.leave", f"{PROJECT}.members.scopes.update", f"{PROJECT}.members.delete"}
NOT_TRIED = {f"{PROJECT}.delete"}

http = os.environ["ALDEA_URL"]
ws = http.replace("http", "ws", 1)
environment = DeepgramClientEnvironment(base=http, production=ws, agent=ws)
client = DeepgramClient(api_key=os.environ["ALDEA_KEY"], environment=environment)


def show(wire: str, **found: object) -> None:
    print(json.dumps({"wire": wire, **found}), flush=True)


def recorded() -> str:
    found = client.listen.v1.media.transcribe_file(request=AUDIO, model="nova-3", smart_format=True, tag="prod")
    is_filled(
        found.results.channels[0].alternatives[0].words, "words", MAY_BE_EMPTY | {"speaker", "speaker_confidence"}
    )
    transcript = found.results.channels[0].alternatives[0].transcript
    show("recorded", request_id=found.metadata.request_id, transcript=transcript)
    return str(found.metadata.request_id)


def control(socket: Any, kind: str) -> None:
    """Version 5 has one method for all, version 6 one for each."""
    if hasattr(socket, "send_control"):
        from deepgram.extensions.types.sockets import ListenV1ControlMessage  # noqa: PLC0415 - not in version 6

        socket.send_control(ListenV1ControlMessage(type=kind))
    else:
        names = {"KeepAlive": "keep_alive", "Finalize": "finalize", "CloseStream": "close_stream"}
        getattr(socket, f"send_{names[kind]}")()


def live() -> None:
    with client.listen.v1.connect(model="nova-3", interim_results="true") as socket:
        control(socket, "KeepAlive")
        for at in range(0, len(AUDIO), PIECE):
            socket.send_media(AUDIO[at : at + PIECE])
        control(socket, "Finalize")
        control(socket, "CloseStream")
        messages = list(socket)
    words = [one.channel.alternatives[0].transcript for one in messages if one.type == "Results" and one.is_final]
    show("live", request_id=messages[-1].request_id, transcript=" ".join(word for word in words if word))


def turns() -> None:
    with client.listen.v2.connect(model="flux-general-en", encoding="linear16", sample_rate="16000") as socket:
        for at in range(44, len(AUDIO), PIECE):
            socket.send_media(AUDIO[at : at + PIECE])
        if hasattr(socket, "send_control"):
            from deepgram.extensions.types.sockets import ListenV2ControlMessage  # noqa: PLC0415 - the same

            socket.send_control(ListenV2ControlMessage(type="CloseStream"))
        else:
            socket.send_close_stream()
        messages = list(socket)
    ended = [one.transcript for one in messages if getattr(one, "event", "") == "EndOfTurn"]
    show("turn-based", request_id=messages[0].request_id, transcript=" ".join(ended))


async def refusal(method: Any, given: Arguments) -> int:
    """The status of a call that has to fail; 0 if it did not."""
    try:
        await called(method, given)
    except ApiError as refused:
        return refused.status_code or 0
    return 0


async def manage(request_id: str) -> None:
    caller = AsyncDeepgramClient(api_key=os.environ["ALDEA_KEY"], environment=environment)
    api = caller.manage.v1
    project = (await api.projects.list()).projects[0].project_id
    key = await api.projects.keys.create(project, request={"comment": "x", "scopes": ["usage:read"]})
    member = (await api.projects.members.list(project)).members[0].member_id
    model = (await api.models.list()).stt[0].uuid_
    own = (await api.projects.keys.list(project)).api_keys[0].api_key.api_key_id
    served = offered(project, model, own, key.api_key_id, member, request_id)
    refused = absent(project, str(uuid4()))
    # Usage is there some seconds after the response.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while request_id not in [one.request_id for one in (await api.projects.requests.list(project, limit=100)).requests]:
        assert time.monotonic() < deadline, "the request is not listed"
        await asyncio.sleep(0.2)
    if metadata.version("deepgram-sdk").startswith("5."):
        # It declares one model and one tag of a group where the format, and each later version, has a list.
        served[f"{PROJECT}.usage.breakdown.get"] = arguments(project, grouping="endpoint", smart_format=True)
    faults = []
    found_methods = dict(methods(caller))
    known = {**dict.fromkeys(NOT_BY_A_KEY, ((project,), {})), **served, **refused}
    assert set(found_methods) <= {*known, *SPEECH, *ABSENT_STREAMS, *NOT_TRIED}
    tried = [path for path in known if path in found_methods]
    for path in tried:
        method = found_methods[path]
        try:
            if path in NOT_BY_A_KEY or path in refused:
                status = await refusal(method, known[path])
                assert status == (404 if path in refused else 403), status
                continue
            found = await called(method, served[path])
            if not path.endswith("keys.delete"):
                assert isinstance(found, pydantic.BaseModel), path
                is_filled(found, path)
        except Exception as fault:  # noqa: BLE001 - all of them are wanted at once
            faults.append(f"{path}: {type(fault).__name__}: {fault}")
    for one in (await api.projects.keys.list(project)).api_keys:
        if one.api_key.comment == "y":
            await api.projects.keys.delete(project, one.api_key.api_key_id)
    assert not faults, "\n".join(faults)
    show("management", methods=len(tried))


def main() -> None:
    request_id = recorded()
    live()
    turns()
    asyncio.run(manage(request_id))


if __name__ == "__main__":
    main()
