import json

import pytest

from aldea import errors

REQUEST_ID = "0190a5e2-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (errors.BadRequest, 400, "Bad Request"),
        (errors.InvalidAuth, 401, "INVALID_AUTH"),
        (errors.PaymentRequired, 402, "ASR_PAYMENT_REQUIRED"),
        (errors.InsufficientPermissions, 403, "INSUFFICIENT_PERMISSIONS"),
        (errors.NotFound, 404, "NOT_FOUND"),
        (errors.ProjectNotFound, 404, "PROJECT_NOT_FOUND"),
        (errors.SlowUpload, 408, "SLOW_UPLOAD"),
        (errors.LengthRequired, 411, "LENGTH_REQUIRED"),
        (errors.PayloadTooLarge, 413, "PAYLOAD_TOO_LARGE"),
        (errors.UnprocessableEntity, 422, "ASR_UNPROCESSABLE_ENTITY"),
        (errors.TooManyRequests, 429, "TOO_MANY_REQUESTS"),
        (errors.BadGateway, 502, "BAD_GATEWAY"),
        (errors.ServiceUnavailable, 503, "SERVICE_UNAVAILABLE"),
        (errors.GatewayTimeout, 504, "GATEWAY_TIMEOUT"),
    ],
)
def test_an_error_is_answered_in_the_contracts_shape(kind: type[errors.ApiError], status: int, code: str) -> None:
    answer = kind("what happened").response(REQUEST_ID)
    assert answer.status == status
    assert answer.content_type == "application/json"
    assert answer.headers["dg-request-id"] == REQUEST_ID
    assert answer.text is not None
    assert json.loads(answer.text) == {"err_code": code, "err_msg": "what happened", "request_id": REQUEST_ID}


def test_a_retry_delay_is_sent_in_whole_seconds_and_never_as_zero() -> None:
    assert errors.TooManyRequests("slow down", retry_after=1.2).headers() == {"Retry-After": "2"}
    assert errors.TooManyRequests("slow down", retry_after=0.0).headers() == {"Retry-After": "1"}
    assert errors.TooManyRequests("slow down").headers() == {}


def test_unavailable_always_says_when_to_come_back() -> None:
    assert "Retry-After" in errors.ServiceUnavailable("draining").headers()


def test_extra_headers_are_added_to_the_answer() -> None:
    answer = errors.InvalidAuth().response(REQUEST_ID, {"dg-error": "no"})
    assert answer.headers["dg-error"] == "no"


def test_a_status_without_a_name_in_the_contract_keeps_its_number_and_standard_name() -> None:
    error = errors.OtherStatus(417, "no expectations here")
    assert (error.status, error.err_code) == (417, "EXPECTATION_FAILED")
    assert errors.ApiError("other").status == 500


@pytest.mark.parametrize(("status", "becomes"), [(499, 400), (599, 500)])
def test_a_status_that_no_standard_knows_becomes_its_classs_first(status: int, becomes: int) -> None:
    assert errors.OtherStatus(status, "odd").status == becomes
