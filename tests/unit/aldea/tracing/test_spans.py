import asyncio
from contextlib import AbstractContextManager
from typing import Any

import pytest

from aldea import errors
from aldea.tracing import spans
from aldea.tracing.context import Context
from aldea.tracing.spans import Attributes, Kind
from aldea.tracing.trace import Trace
from tests.unit.aldea.tracing.test_context import SPAN, TRACE

CONTEXT = Context(TRACE, SPAN, sampled=True)


class Noted:
    """A span that notes what becomes of it."""

    context = CONTEXT

    def __init__(self, said: list[Any], name: str = "root") -> None:
        self.said = said
        self.name = name

    def child(self, name: str, kind: Kind, attributes: Attributes, *, seconds_ago: float = 0.0) -> "Noted":
        self.said.append((name, kind, dict(attributes), seconds_ago))
        return Noted(self.said, name)

    def note(self, attributes: Attributes) -> None:
        self.said.append(("note", dict(attributes)))

    def end(self, attributes: Attributes | None = None, *, error: str | None = None) -> None:
        self.said.append(("end", self.name, attributes, error))


class Recording:
    """A recorder that notes the batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def request(self, method: str, route: str, request_id: str, parent: Context | None) -> tuple[Context, None]:
        raise NotImplementedError

    def batch(
        self, name: str, kind: Kind, attributes: Attributes, traceparents: list[str]
    ) -> AbstractContextManager[object]:
        self.batches.append(traceparents)
        return spans.NOTHING

    def close(self) -> None:
        self.batches.append(["closed"])


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Recording:
    monkeypatch.setattr(spans._Process, "recorder", None)
    made = Recording()
    spans.record_by(made)
    return made


@pytest.mark.parametrize("trace", [None, Trace(CONTEXT)])
async def test_what_is_not_recorded_costs_nothing_and_changes_nothing(trace: Trace | None) -> None:
    with spans.traced(trace, "x", Kind.CLIENT, {}) as span:
        assert span is None
    response: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    if trace is not None:
        spans.until(trace, response, "x", Kind.CLIENT, {})
        trace.end(200)
    response.cancel()


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (None, None),
        (errors.TooManyRequests("x"), None),
        (errors.BadGateway("x"), "BadGateway"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_a_part_of_the_work_is_a_span_that_says_what_failed_and_no_customers_fault(
    error: Exception | None, shown: str | None
) -> None:
    said: list[Any] = []
    trace = Trace(CONTEXT, Noted(said))

    def work() -> None:
        with spans.traced(trace, "admit", Kind.CLIENT, spans.redis_call("admit")) as span:
            assert span is not None
            if error is not None:
                raise error

    if error is None:
        work()
    else:
        with pytest.raises(type(error)):
            work()
    attributes = {"db.system.name": "redis", "db.stored_procedure.name": "admit"}
    assert said == [("admit", Kind.CLIENT, attributes, 0.0), ("end", "admit", None, shown)]


@pytest.mark.parametrize(("status", "error"), [(101, None), (429, None), (503, "503")])
def test_a_requests_span_ends_with_its_status(status: int, error: str | None) -> None:
    said: list[Any] = []
    Trace(CONTEXT, Noted(said)).end(status, {"aldea.lane": "live1"})
    assert said == [("end", "root", {"http.response.status_code": status, "aldea.lane": "live1"}, error)]


@pytest.mark.parametrize("outcome", ["done", "failed", "cancelled"])
async def test_a_checkpoints_span_ends_with_its_response(outcome: str) -> None:
    said: list[Any] = []
    response: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    spans.until(Trace(CONTEXT, Noted(said)), response, "checkpoint", Kind.CLIENT, {})
    if outcome == "done":
        response.set_result(1)
    elif outcome == "failed":
        response.set_exception(ConnectionError())
    else:
        response.cancel()
    await asyncio.wait({response})
    error = {"done": None, "failed": "ConnectionError", "cancelled": "CancelledError"}[outcome]
    assert said[-1] == ("end", "checkpoint", None, error)


def test_a_batch_is_recorded_if_one_of_its_traces_is(recording: Recording) -> None:
    with spans.batch("send", Kind.PRODUCER, {}, iter(["", "a", "", "b"])):
        pass
    with spans.batch("send", Kind.PRODUCER, {}, iter(["", ""])):
        pass
    assert recording.batches == [["a", "b"]]
    spans.record_by(None)
    with spans.batch("send", Kind.PRODUCER, {}, iter(["a"])):
        pass
    assert recording.batches == [["a", "b"]]
    assert spans.recorder() is None


async def test_what_waits_is_sent_once_when_the_process_stops(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "CLOSE_SECONDS", 1000.0)
    await spans.close()
    await spans.close()
    assert recording.batches == [["closed"]]
    assert spans.recorder() is None
