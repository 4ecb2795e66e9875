from typing import Any

import pytest
from aiohttp import HttpVersion11
from aiohttp.http import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from aldea.service.request_head import tidied, valid_host


def message(path: str, value: bytes = b"x") -> RawRequestMessage:
    headers = CIMultiDictProxy(CIMultiDict({"X": value.decode("utf-8", "surrogateescape")}))
    made: Any = RawRequestMessage(
        "GET", path, HttpVersion11, headers, ((b"X", value),), False, None, False, False, URL(path, encoded=True)
    )
    found: RawRequestMessage = made
    return found


def test_an_ordinary_head_stays_as_it_is() -> None:
    head = message("/v1/listen?a=//")
    assert tidied(head) is head


@pytest.mark.parametrize("path", ["//v1/listen?a=%2F//b", "///v1/listen?a=%2F//b"])
def test_one_slash_is_kept_before_the_path_and_all_in_the_query(path: str) -> None:
    head = tidied(message(path))
    assert head.path == "/v1/listen?a=%2F//b"
    assert (head.url.raw_path, head.url.raw_query_string) == ("/v1/listen", "a=%2F//b")


def test_no_slash_of_a_query_is_taken_for_one_of_the_path() -> None:
    assert tidied(message("//?//")).path == "/?//"


def test_bytes_that_are_no_utf_8_read_as_the_replacement_character_and_still_leave_as_they_came() -> None:
    head = tidied(message("/", b"caf\xe9 \xc3\xa9"))
    assert head.headers["x"] == "caf\ufffd é"
    assert head.raw_headers[0][1] == b"caf\xe9 \xc3\xa9"


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        ("http://api.example/v1/listen?a=http://b/", "/v1/listen?a=http://b/", "api.example"),
        ("HTTPS://api.example:8443/v1/listen", "/v1/listen", "api.example:8443"),
        ("http://api.example//v1/listen", "/v1/listen", "api.example"),
        ("http://api.example?a=1", "/?a=1", "api.example"),
        ("http://u:p@api.example/", "/", "u:p@api.example"),
    ],
)
def test_a_whole_url_is_read_as_its_path_and_its_host(target: str, path: str, host: str) -> None:
    head = tidied(message(target))
    assert (head.path, head.url.raw_path_qs, head.headers["Host"]) == (path, path, host)


@pytest.mark.parametrize(
    "host", ["", "api.example", "api.example:443", "api_1.internal:", "127.0.0.1:80", "[::1]:8080", "[::ffff:1.2.3.4]"]
)
def test_names_and_addresses_are_hosts(host: str) -> None:
    assert valid_host(host)


@pytest.mark.parametrize(
    "host",
    [
        *("a b", "a\tb", "u:p@api.example", "a,b", "a/b", "a?b", "a#b", "a\\b", "a:b", "a:99999", "a:-1", "a:1:2"),
        *("[", "[::1", "::1", "[x]", "h\ufffd", "h\xe9", "a\n"),
    ],
)
def test_what_each_hop_would_read_in_its_own_way_is_no_host(host: str) -> None:
    assert not valid_host(host)
