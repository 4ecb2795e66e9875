from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from frontend.cookies import MAX_DEVICES, Cookies, new_visitor, theme, zone
from tests.fakes.platform_api import PROJECT, SESSION


def request(cookie: str) -> web.Request:
    return make_mocked_request("GET", "/", headers={"Cookie": cookie})


def test_over_https_the_cookies_are_secure_and_of_this_host_alone() -> None:
    response = web.Response()
    Cookies(secure=True).set_session(response, SESSION, 60)
    session = response.cookies["__Host-session"]
    assert (session["secure"], session["httponly"], session["samesite"], session["path"]) == (True, True, "Lax", "/")
    assert session["domain"] == ""
    assert response.cookies["__Host-visitor"]["max-age"] == "0", "the visitor has become somebody"


def test_without_https_no_cookie_claims_to_be_secure() -> None:
    response = web.Response()
    Cookies(secure=False).set_session(response, SESSION, 60)
    assert not response.cookies["session"]["secure"]


def test_a_deleted_host_cookie_is_deleted_in_words_that_a_browser_takes() -> None:
    response = web.Response()
    Cookies(secure=True).end_session(response)
    assert response.cookies["__Host-session"]["secure"]
    assert response.cookies["__Host-session"]["path"] == "/"


def test_only_what_the_api_hands_out_counts_as_a_session() -> None:
    jar = Cookies(secure=False)
    assert jar.session(request(f"session={SESSION}")) == SESSION
    for text in ("", "sess_", "org_" + "a" * 38, "sess_" + "a" * 300, 'sess_"a b"'):
        assert jar.session(request(f"session={text}")) is None


def test_devices_are_remembered_by_account_the_newest_first_and_nonsense_is_ignored() -> None:
    jar, cookie = Cookies(secure=True), ""
    for number in range(MAX_DEVICES + 2):
        response = web.Response()
        jar.set_device(request(cookie), response, f"{number}@example.com", f"dev_{number:030}", 60)
        cookie = f"__Host-device={response.cookies['__Host-device'].value}"
        assert response.cookies["__Host-device"]["httponly"]
        assert response.cookies["__Host-device"]["secure"]
    assert "example" not in cookie
    assert jar.device(request(cookie), "1@example.com") is None
    assert jar.device(request(cookie), "5@Example.com") == f"dev_{5:030}"
    assert jar.device(request(cookie.replace("dev_", "<b>")), "5@example.com") is None
    assert jar.device(request("__Host-device=" + "~" * 5000), "5@example.com") is None


def test_a_notice_and_a_project_of_another_shape_are_ignored() -> None:
    jar = Cookies(secure=False)
    assert jar.notice(request("notice=key-revoked")) == "key-revoked"
    assert jar.notice(request("notice=<b>")) is None
    assert jar.last_project(request(f"project={PROJECT}")) == PROJECT
    assert jar.last_project(request("project=/evil")) is None


def test_theme_and_zone_are_the_readers_choice_and_nonsense_is_the_default() -> None:
    assert theme(request("theme=dark")) == "dark"
    assert theme(request("theme=pink")) == ""
    assert zone(request("zone=Europe/Berlin")).key == "Europe/Berlin"
    for name in ("", "Nowhere/At_All", "../../etc/passwd", "x" * 300):
        assert zone(request(f"zone={name}")).key == "UTC"


def test_each_visitor_is_another() -> None:
    assert new_visitor() != new_visitor()
