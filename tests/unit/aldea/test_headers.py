import uuid

from aiohttp.test_utils import make_mocked_request

from aldea.headers import adopt_request_id, client_address, request_id


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


def test_the_clients_address_is_what_the_last_balancer_saw() -> None:
    forged = make_mocked_request("GET", "/", headers={"X-Forwarded-For": "10.0.0.1, 203.0.113.7"})
    assert client_address(forged) == "203.0.113.7"


def test_of_several_forwarded_headers_the_last_one_counts() -> None:
    raw = make_mocked_request("GET", "/", headers=[("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-For", "203.0.113.7")])
    assert client_address(raw) == "203.0.113.7"


def test_without_a_balancer_the_peer_is_the_client() -> None:
    request = make_mocked_request("GET", "/")
    assert client_address(request) == (request.remote or "")
