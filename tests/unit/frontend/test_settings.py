import pytest
from pydantic import ValidationError

from frontend.settings import FrontendSettings
from tests.unit.frontend.conftest import settings


def test_cookies_are_secure_unless_somebody_says_otherwise() -> None:
    given = {"platform_api_url": "http://backend:8103", "public_api_url": "https://api.example.com"}
    assert FrontendSettings(**given).cookie_secure  # type: ignore[arg-type]


def test_websockets_go_where_the_api_is() -> None:
    assert settings(public_api_url="https://api.example.com").public_ws_url == "wss://api.example.com"
    assert settings().public_ws_url == "ws://api.localhost:8080"


@pytest.mark.parametrize(
    "url", ["api.example.com", "https://api.example.com/v1", "ftp://x", "https://a b", "https://x; y"]
)
def test_an_address_with_a_path_or_of_another_kind_stops_the_start(url: str) -> None:
    with pytest.raises(ValidationError):
        settings(public_api_url=url)


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("", ""),
        ("help@example.com", "mailto:help@example.com"),
        ("https://help.example.com/ask?from=a@b", "https://help.example.com/ask?from=a@b"),
    ],
)
def test_supports_address_is_a_link_that_fits_it(address: str, link: str) -> None:
    assert settings(support_address=address).support_url == link


@pytest.mark.parametrize("address", ["javascript:alert(1)", "help", "http://x", "a@b c", 'a"@b', "<a@b>"])
def test_what_is_no_address_of_supports_stops_the_start(address: str) -> None:
    with pytest.raises(ValidationError):
        settings(support_address=address)


def test_a_trace_is_linked_where_operators_look_at_it() -> None:
    template = "https://traces.example.com/trace/{trace_id}?orgId=1"
    assert settings(trace_url=template).trace_link("4bf9") == "https://traces.example.com/trace/4bf9?orgId=1"
    assert settings(trace_url=template).trace_link(None) == settings().trace_link("4bf9") == ""


@pytest.mark.parametrize(
    "url",
    ["javascript:alert({trace_id})", "https://x", "https://x/{id}", "https://x/{trace_id}{", "https://x y/{trace_id}"],
)
def test_a_traces_address_that_cannot_be_one_stops_the_start(url: str) -> None:
    with pytest.raises(ValidationError):
        settings(trace_url=url)
