"""An STT server's refusals on their way to the client."""

import gzip
import json

import pytest

from aldea import errors
from http_proxy.refusal import MAX_REFUSAL_BYTES, is_refusal, passed_on, read_refusal
from tests.unit.http_proxy.servers import response
from tests.unit.http_proxy.test_response import responded

REFUSAL = b'{"err_code": "Bad Request", "err_msg": "no audio", "request_id": "theirs"}'


async def test_a_json_refusal_gets_the_requests_own_id_and_keeps_the_rest() -> None:
    head = b"Retry-After: 7\r\nSet-Cookie: a=b\r\ndg-request-id: theirs\r\n"
    for body in (REFUSAL, b'{"detail": "no audio"}'):
        async with responded(response(body, status="429 Too Many Requests", headers=head)) as found:
            assert is_refusal(found)
            passed = passed_on(found, await read_refusal(found, 10), "ours")
        assert passed.text is not None
        assert json.loads(passed.text) == {**json.loads(body), "request_id": "ours"}
        assert (passed.status, passed.headers["Retry-After"], passed.headers["dg-request-id"]) == (429, "7", "ours")
        assert "Set-Cookie" not in passed.headers


@pytest.mark.parametrize("body", [b"", b"<h1>no</h1>", b"[1]", b'"text"', b"[" * 9999])
async def test_what_is_no_json_object_is_passed_on_as_it_is(body: bytes) -> None:
    async with responded(response(body, status="400 Bad Request", headers=b"Content-Type: text/html\r\n")) as found:
        passed = passed_on(found, await read_refusal(found, 10), "ours")
    assert (passed.body, passed.headers["dg-request-id"]) == (body, "ours")


async def test_a_refusal_without_an_end_in_sight_is_a_bad_gateway() -> None:
    body = b"x" * (MAX_REFUSAL_BYTES + 1)
    async with responded(response(body, status="500 Internal Server Error")) as found:
        with pytest.raises(errors.BadGateway):
            await read_refusal(found, 10)


async def test_successes_and_compressed_responses_are_none() -> None:
    packed = response(gzip.compress(REFUSAL), status="400 Bad Request", headers=b"Content-Encoding: gzip\r\n")
    for head in (response(b"{}"), packed):
        async with responded(head) as found:
            assert not is_refusal(found)
