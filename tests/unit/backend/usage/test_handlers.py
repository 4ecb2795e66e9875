"""From rows to the public API's shapes, and from its words to filters."""

import json
from typing import Any

from pydantic_core import to_json

from aldea import speech_model
from backend.usage.filters import Filters
from backend.usage.handlers import _filters, _request
from backend.usage.models import DaysQuery, Request, RequestsExportQuery, RequestsQuery
from backend.usage.rows import RequestRow

ID = "018f0000-0000-7000-8000-000000000001"
ROW: dict[str, Any] = {
    "request_id": ID, "project_id": "p", "key_id": "k", "started_ms": 1_775_001_599_250, "service": "streaming",
    "lane": "live1", "path": "/listen/v1", "endpoint": "/v1/listen", "tags": ["a"], "rank": 2, "audio_ms": 3000,
    "channels": 2, "connection_ms": 1700, "bytes_in": 5, "bytes_out": 6, "status": 101, "close_code": 1000,
    "price_id": 4, "charge_micros": 300, "failovers": 1, "first_word_ms": 640,
    "model": "nova-3", "features": ["diarize"],
}  # fmt: skip


def shown(**changes: Any) -> dict[str, Any]:
    plain = _request(RequestRow(**ROW | changes))
    as_model = Request.model_validate(plain).model_dump_json()
    # Nothing checks plain values on their way out: here they are all that the model is, in its words and order.
    assert to_json(plain).decode() == as_model
    found: dict[str, Any] = json.loads(as_model)
    return found


def test_a_request_is_shown_with_seconds_of_what_is_billed_and_of_the_audio_itself() -> None:
    request = shown()
    assert request["created"] == "2026-03-31T23:59:59.250000Z"
    assert (request["audio_ms"], request["audio_seconds"], request["connection_seconds"]) == (3000, 3.0, 1.7)
    details = request["response"]["details"]
    assert (details["duration"], details["total_audio"], details["method"]) == (1.5, 3.0, "streaming")
    # Where the public API's command line reads them.
    assert (request["duration"], request["method"]) == (1.5, "streaming")
    assert (details["usd"], request["charge_micros"], request["price_id"]) == (0.0003, 300, 4)
    assert request["failovers"] == 1
    assert request["first_word_ms"] == 640
    assert (details["models"], details["features"]) == ([speech_model.UUID], ["diarize"])
    assert (details["config"]["model"], details["config"]["diarize"], details["config"]["numerals"]) == (
        "nova-3", True, False,
    )  # fmt: skip
    assert (request["code"], request["close_code"], request["state"]) == (101, 1000, "final")
    # When it ended, as a text.
    assert request["response"]["completed"] == "2026-04-01T00:00:00.950000Z"


def test_a_request_that_still_runs_says_so_and_has_no_code_before_there_is_one() -> None:
    request = shown(rank=0, status=0, close_code=None, service="prerecorded", channels=0)
    assert (request["state"], request["code"], request["response"]) == ("open", None, None)
    assert shown(rank=0, status=101)["code"] == 101
    lost = shown(rank=1, status=0, close_code=None, service="prerecorded")
    assert (lost["state"], lost["code"], lost["response"]["code"]) == ("incomplete", 0, 0)
    assert lost["response"]["details"]["method"] == "sync"
    assert shown(service="prerecorded", features=["callback"])["response"]["details"]["method"] == "async"


def test_the_public_apis_words_become_ours() -> None:
    query = DaysQuery.model_validate({"accessor": ID, "method": "sync", "endpoint": "listen"})
    assert _filters(query) == Filters(
        key_id=ID,
        service="prerecorded",
        endpoints=("/v1/listen", "/v1/listen/pcm", "/v2/listen"),
        without=("callback",),
    )
    assert _filters(DaysQuery.model_validate({"method": "async", "endpoint": "speak"})) == Filters(
        service="prerecorded", asynchronous=True, endpoints=()
    )
    named = DaysQuery.model_validate({"model": "nova-3", "diarize": "true", "redact": "false", "deployment": "beta"})
    assert _filters(named) == Filters(model="nova-3", with_any=("diarize",), without=("redact",), nothing=True)
    # All are recognized by the one model.
    assert _filters(DaysQuery.model_validate({"model": speech_model.UUID, "deployment": "hosted"})) == Filters()
    listed = RequestsQuery.model_validate({"status": "succeeded", "endpoint": "other", "request_id": ID})
    assert _filters(listed) == Filters(outcome="succeeded", endpoints=("other",), request_id=ID, ended=True)
    assert not _filters(RequestsQuery.model_validate({"running": "true"})).ended
    assert _filters(RequestsQuery.model_validate({"status": "open"})) == Filters(outcome="open")
    lasting = {"min_audio_seconds": "0.1", "max_audio_seconds": "18.7254"}
    assert _filters(RequestsExportQuery.model_validate(lasting)) == Filters(least_ms=100, most_ms=18725)
    assert _filters(DaysQuery.model_validate({})) == Filters()
