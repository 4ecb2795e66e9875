import uuid

from aiohttp.test_utils import make_mocked_request

from aldea.headers import adopt_request_id, request_id


def test_a_requests_id_is_minted_once_and_not_taken_from_the_client() -> None:
    request = make_mocked_request("GET", "/", headers={"dg-request-id": "mine"})
    first = request_id(request)
    assert uuid.UUID(first).version == 7
    assert request_id(request) == first
    assert request_id(make_mocked_request("GET", "/")) != first


def test_a_server_behind_the_proxies_takes_over_their_id() -> None:
    theirs = str(uuid.uuid4())
    request = make_mocked_request("GET", "/", headers={"dg-request-id": theirs.upper()})
    assert adopt_request_id(request) == theirs
    assert request_id(request) == theirs


def test_a_text_that_is_no_uuid_is_not_taken_over() -> None:
    request = make_mocked_request("GET", "/", headers={"dg-request-id": "x' or 1"})
    assert adopt_request_id(request) == request_id(request)
    assert uuid.UUID(request_id(request)).version == 7
