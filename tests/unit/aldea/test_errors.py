import json
import re
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from aldea import errors

SERVICES = Path(__file__).parents[3] / "services"
# The err_code of a class.
_OWN_CODE = re.compile(r'^    (?:status, )?err_code(?:: str)? = (?:\d+, )?"(.+)"$', re.MULTILINE)
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
def test_an_error_has_the_contracts_shape(kind: type[errors.ApiError], status: int, code: str) -> None:
    response = kind("what happened").response(REQUEST_ID)
    assert response.status == status
    assert response.content_type == "application/json"
    assert response.headers["dg-request-id"] == REQUEST_ID
    assert response.text is not None
    body = json.loads(response.text)
    assert body == {"err_code": code, "err_msg": body["err_msg"], "request_id": REQUEST_ID}
    assert errors.without_page(body["err_msg"]) == "what happened"


def test_a_retry_delay_is_sent_in_whole_seconds_and_never_as_zero() -> None:
    assert errors.TooManyRequests("slow down", retry_after=1.2).headers() == {"Retry-After": "2"}
    assert errors.TooManyRequests("slow down", retry_after=0.0).headers() == {"Retry-After": "1"}
    assert errors.TooManyRequests("slow down").headers() == {}


@pytest.mark.parametrize(
    ("seconds", "sent"),
    [
        (float("nan"), "1"),
        (float("inf"), "86400"),
        (float("-inf"), "1"),
        (-5.0, "1"),
        (-0.0, "1"),
        (5e-324, "1"),
        (1.7e308, "86400"),
        (10**400, "86400"),
        (-(10**400), "1"),
        (86_399.5, "86400"),
        (True, "1"),
    ],
)
def test_an_absurd_retry_delay_is_bounded(seconds: float, sent: str) -> None:
    assert errors.TooManyRequests("slow down", retry_after=seconds).headers() == {"Retry-After": sent}
    assert (
        errors.ServiceUnavailable("unavailable", retry_after=seconds).response(REQUEST_ID).headers["Retry-After"]
        == sent
    )


@pytest.mark.parametrize(
    ("status", "becomes"),
    [
        (10**400, 500),
        (-(10**400), 500),
        (-1, 500),
        (0, 500),
        (100, 500),
        (200, 500),
        (204, 500),
        (304, 500),
        (600, 500),
    ],
)
def test_a_status_that_is_no_errors_becomes_500(status: int, becomes: int) -> None:
    response = errors.OtherStatus(status, "odd").response(REQUEST_ID)
    assert response.status == becomes


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("a\r\nSet-Cookie: x", "a  Set-Cookie: x"),
        ("a\0b\x7f", "a b"),
        ("a\ud800b\u2028c", "a b c"),
        ("\u00fc", "\u00fc"),
        ("x" * 5000, "x" * 1000),
    ],
)
async def test_a_text_in_a_header_never_breaks_the_response(text: str, sent: str) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        return errors.BadRequest(text).response(REQUEST_ID, {"dg-error": text})

    app = web.Application()
    app.router.add_get("/", refuse)
    async with TestClient(TestServer(app)) as client, client.get("/") as response:
        assert response.status == 400
        assert response.headers["dg-error"] == sent
        assert errors.without_page((await response.json())["err_msg"]) == text


def test_unavailable_always_says_when_to_come_back() -> None:
    assert "Retry-After" in errors.ServiceUnavailable("draining").headers()


def test_extra_headers_are_added_to_the_response() -> None:
    response = errors.InvalidAuth().response(REQUEST_ID, {"dg-error": "no"})
    assert response.headers["dg-error"] == "no"


def test_a_status_without_a_name_in_the_contract_keeps_its_number_and_standard_name() -> None:
    error = errors.OtherStatus(417, "no expectations here")
    assert (error.status, error.err_code) == (417, "EXPECTATION_FAILED")
    assert errors.ApiError("other").status == 500


@pytest.mark.parametrize(("status", "becomes"), [(499, 400), (599, 500)])
def test_a_status_that_no_standard_knows_becomes_its_classs_first(status: int, becomes: int) -> None:
    assert errors.OtherStatus(status, "odd").status == becomes


def test_an_error_names_its_page_once_however_many_services_passed_it_on() -> None:
    first = errors.BadRequest("sample_rate: got 7")
    assert first.err_msg == "sample_rate: got 7 See /docs/errors#bad-request"
    assert errors.BadGateway(first.err_msg).err_msg == "sample_rate: got 7 See /docs/errors#bad_gateway"


def test_every_error_is_explained_at_the_place_that_it_names() -> None:
    page = (Path(__file__).parents[3] / "docs" / "speech-api-errors.md").read_text()
    explained = {heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", page, re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ApiError)]
    assert len(kinds) > 15
    made = [errors.OtherStatus(417, "") if kind is errors.OtherStatus else kind("") for kind in kinds]
    # Services have kinds of their own.
    codes = {code for path in SERVICES.rglob("*.py") for code in _OWN_CODE.findall(path.read_text())}
    assert {"UPGRADE_REQUIRED", "ACCOUNT_UNAVAILABLE"} <= codes
    assert {error.section for error in made} | {code.lower().replace(" ", "-") for code in codes} <= explained
