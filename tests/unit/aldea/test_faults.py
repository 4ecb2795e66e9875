import pytest
from aiohttp import web
from aiohttp.http_exceptions import TransferEncodingError
from aiohttp.test_utils import make_mocked_request

from aldea import errors, faults
from aldea.faults import BodyEnded


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.Conflict("x"), 409),
        (web.HTTPRequestEntityTooLarge(max_size=1, actual_size=2), 413),
        (BodyEnded("the connection was closed"), 422),
        (web.RequestPayloadError("x"), 400),
        (TransferEncodingError("x"), 400),
    ],
)
def test_a_fault_of_a_body_is_the_clients(error: Exception, status: int) -> None:
    fault = faults.of_body(error)
    assert fault is not None
    assert fault.status == status


@pytest.mark.parametrize("error", [ValueError(), ConnectionResetError(), web.HTTPNotFound()])
def test_what_is_no_fault_of_a_body_is_left_to_others(error: Exception) -> None:
    assert faults.of_body(error) is None


@pytest.mark.parametrize(
    "error",
    [web.HTTPNotFound(), web.HTTPMethodNotAllowed("X" * 900, ["GET"]), web.HTTPExpectationFailed(text="x" * 900)],
)
def test_what_a_request_says_is_cut_in_the_text(error: web.HTTPException) -> None:
    fault = faults.from_http_exception(error, make_mocked_request("X" * 900, "/" + "x" * 5000))
    assert len(fault.message) < 400
