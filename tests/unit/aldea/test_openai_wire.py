"""Errors of the contract in OpenAI's shape."""

import json
from typing import Any

import pytest
from aiohttp import web

from aldea.errors import ApiError, BadRequest, InvalidAuth, ServiceUnavailable, TooManyRequests
from aldea.openai_wire import reshaped


def shape(error: ApiError) -> tuple[web.Response, Any]:
    response = reshaped(error.response("an-id"))
    assert response.text is not None
    found = json.loads(response.text)
    assert set(found) == {"error"}
    assert set(found["error"]) == {"message", "type", "param", "code"}
    return response, found["error"]


@pytest.mark.parametrize(
    ("error", "kind", "parameter", "code"),
    [
        (BadRequest("temperature: got '2'."), "invalid_request_error", "temperature", "bad_request"),
        (BadRequest("timestamp_granularities[]: got 'x'."), "invalid_request_error", "timestamp_granularities[]",
         "bad_request"),
        (InvalidAuth(), "invalid_request_error", None, "invalid_api_key"),
        (TooManyRequests("Slow down.", retry_after=7), "requests", None, "rate_limit_exceeded"),
        (ServiceUnavailable("Later."), "server_error", None, "service_unavailable"),
    ],
)  # fmt: skip
def test_an_error_keeps_its_status_and_headers(error: ApiError, kind: str, parameter: str | None, code: str) -> None:
    response, found = shape(error)
    assert response.status == error.status
    assert response.headers["dg-request-id"] == "an-id"
    message = error.err_msg.replace("Token <", "Bearer <")
    assert (found["message"], found["type"], found["param"], found["code"]) == (message, kind, parameter, code)
    assert response.headers.get("Retry-After") == error.headers().get("Retry-After")


def test_a_missing_key_is_described_as_this_wires_clients_send_it() -> None:
    refusal = InvalidAuth()
    response = reshaped(refusal.response("an-id", {"dg-error": f"INVALID_AUTH: {refusal.err_msg}"}))
    for text in (response.text or "", response.headers["dg-error"]):
        assert "'Authorization: Bearer <key>'" in text
        assert "Token" not in text


def test_what_is_no_error_of_the_contract_is_left_alone() -> None:
    for response in (web.Response(text="a"), web.Response(status=404, text="{}"), web.Response(status=500, text="x")):
        before = response.text
        assert reshaped(response).text == before
