"""One trace from a client's header to the row, read back from where the services export their spans."""

import asyncio
import json
import secrets
from typing import Any

from aiohttp import ClientSession
from websockets.asyncio.client import connect

from onebox.balancer import HOSTS
from onebox.usage_row import final_usage_row
from tests.e2e.box import Box
from tests.recordings import encoded, speech
from tests.support.otlp_sink import Received, Sink

# From a span's end to its arrival: the exporters' delay, and a busy machine.
EXPORT_SECONDS = 60.0
SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
CALLER = "00f067aa0ba902b7"  # the client's own span, which is not exported


async def spans_with(sink: Sink, trace_id: str, names: set[tuple[str, str]]) -> list[Received]:
    """The spans of a trace as soon as these, by service and name, are among them, and what each of all continues."""
    async with asyncio.timeout(EXPORT_SECONDS):
        while True:
            found = sink.of(trace_id)
            # A process sends its spans in lots, one that took longer after those that it began.
            known = {span.span_id for span in found} | {CALLER}
            if names <= {(span.service, span.name) for span in found} and {span.parent_id for span in found} <= known:
                return found
            await asyncio.sleep(0.1)


async def lines_about(box: Box, service: str, request_id: str) -> list[dict[str, Any]]:
    """What a service logged of a request, as soon as there is something."""
    async with asyncio.timeout(EXPORT_SECONDS):
        while True:
            logs = [log.read_text().rpartition("\n")[0] for log in box.data.glob("logs/*.log")]  # whole lines alone
            lines = [line for log in logs for line in log.splitlines()]
            said = [json.loads(line) for line in lines if request_id in line and f'"service": "{service}"' in line]
            if said:
                return said
            await asyncio.sleep(0.1)


async def stream(box: Box, traceparent: str) -> str:
    headers = {"Authorization": f"Token {box.key}", "traceparent": traceparent, "tracestate": "theirs=1"}
    address = f"{box.ws}/v1/listen?encoding=linear16&sample_rate=16000"
    async with connect(address, additional_headers=headers) as socket:
        assert socket.response is not None
        sent = speech(4.0)
        for start in range(0, len(sent), 3_200):
            await socket.send(sent[start : start + 3_200])
        await socket.send('{"type": "CloseStream"}')
        async for message in socket:  # to its end: the words, and the close
            assert json.loads(message)["type"] != "Error"
        return str(socket.response.headers["dg-request-id"])


async def upload(box: Box, traceparent: str) -> str:
    headers = {"Authorization": f"Token {box.key}", "traceparent": traceparent, "Content-Type": "audio/wav"}
    async with (
        ClientSession() as http,
        http.post(f"{box.http}/v1/listen", data=encoded("wav", 4.0), headers=headers) as response,
    ):
        assert response.status == 200
        return str(response.headers["dg-request-id"])


async def test_one_trace_runs_from_the_clients_header_to_the_row(platform: Box, spans: Sink) -> None:
    traces = [secrets.token_hex(16) for _ in range(3)]
    parents = [f"00-{trace_id}-{CALLER}-0{flags}" for trace_id, flags in zip(traces, "110", strict=True)]
    ids = await asyncio.gather(stream(platform, parents[0]), upload(platform, parents[1]), upload(platform, parents[2]))
    rows = [await final_usage_row(platform.state["database_url"], request_id) for request_id in ids]
    # What its caller does not record is not recorded here: an id that leads nowhere helps nobody.
    assert [row["trace_id"] for row in rows] == [traces[0], traces[1], None]

    pipeline = {("backend", "send usage readings"), ("sqs_updater", "merge usage readings")}
    live = {
        ("ws_proxy", "GET /v1/listen"),
        ("ws_proxy", "admit"),
        ("ws_proxy", "first words"),
        ("ws_proxy", "finish"),
        ("stt_api", "GET /v1/listen"),
    }
    recorded = {
        ("http_proxy", "POST /v1/listen"),
        ("http_proxy", "admit"),
        ("http_proxy", "finish"),
        ("stt_api", "POST /v1/listen"),
    }
    for trace_id, request_id, names in zip(traces, ids, (live, recorded), strict=False):
        found = await spans_with(spans, trace_id, names | pipeline)
        # Each continues another one of the trace, and the first one continues the client's.
        [root] = [span for span in found if span.parent_id == CALLER and span.kind == SERVER]
        assert root.attributes["aldea.request_id"] == request_id
        [engine] = [span for span in found if span.service == "stt_api"]
        [calling] = [span for span in found if span.span_id == engine.parent_id]
        assert (calling.kind, calling.parent_id) == (CLIENT, root.span_id)
        assert {(span.kind, span.name) for span in found if (span.service, span.name) in pipeline} == {
            (PRODUCER, "send usage readings"),
            (CONSUMER, "merge usage readings"),
        }
        assert not [span for span in found if span.failed]
        # Neither a credential nor a word.
        assert platform.key not in repr(found)
        assert "morning" not in repr(found)
    assert spans.of(traces[2]) == []
    for service, request_id, trace_id in (("ws_proxy", ids[0], traces[0]), ("http_proxy", ids[2], traces[2])):
        said = await lines_about(platform, service, request_id)
        assert {line["trace_id"] for line in said} == {trace_id}


async def test_a_page_of_the_console_and_the_apis_behind_it_are_one_trace(platform: Box, spans: Sink) -> None:
    trace_id, session = secrets.token_hex(16), f"sess_{secrets.token_hex(20)}"
    headers = {
        "Host": f"{HOSTS.platform}:{platform.port}",
        "Cookie": f"session={session}",
        "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01",
    }
    async with (
        ClientSession() as http,
        http.get(f"{platform.http}/account?secret=1", headers=headers, allow_redirects=False) as response,
    ):
        assert response.status == 303, "the API does not know this session"
        request_id = response.headers["dg-request-id"]
    names = {("frontend", "GET /account"), ("frontend", "GET"), ("backend", "GET /v1/me")}
    found = {span.name: span for span in await spans_with(spans, trace_id, names)}
    page, call, api = found["GET /account"], found["GET"], found["GET /v1/me"]
    assert [span.kind for span in (page, call, api)] == [SERVER, CLIENT, SERVER]
    assert [span.parent_id for span in (page, call, api)] == ["00f067aa0ba902b7", page.span_id, call.span_id]
    assert page.attributes == {
        "http.request.method": "GET",
        "http.route": "/account",
        "http.response.status_code": 303,
        "aldea.request_id": request_id,
    }
    assert [span.attributes["http.response.status_code"] for span in (call, api)] == [401, 401]
    assert not page.failed
    assert session not in repr(found)
    assert "secret" not in repr(found)
    assert {line["trace_id"] for line in await lines_about(platform, "frontend", request_id)} == {trace_id}
