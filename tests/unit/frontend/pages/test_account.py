import pytest

from frontend.cookies import Cookies
from tests.fakes.platform_api import EMAIL, INVITE, OTHER_PROJECT, PASSWORD, PROJECT, SESSION, refusal
from tests.unit.frontend.conftest import Console

NEW = {"email": "new@example.com", "name": "New", "password": "twelve letters", "project_name": "First"}


async def test_logging_in_opens_the_console_with_the_session_in_a_cookie_that_scripts_cannot_read(
    console: Console,
) -> None:
    response = await console.post("/login", {"email": EMAIL, "password": PASSWORD}, follow=False)
    assert (response.status, response.headers["Location"]) == (303, "/")
    cookie = next(line for line in response.headers.getall("Set-Cookie") if line.startswith("session="))
    assert SESSION in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Max-Age=12" in cookie, "fourteen days, as the API said"
    assert (await console.get("/")).path == f"/projects/{PROJECT}/overview"


async def test_a_browser_that_has_signed_in_is_known_to_the_api_the_next_time_for_this_account_alone(
    console: Console,
) -> None:
    response = await console.post("/login", {"email": EMAIL, "password": PASSWORD}, follow=False)
    assert "device_token" not in console.api.sent("POST", "/sessions")
    line = next(line for line in response.headers.getall("Set-Cookie") if line.startswith("device="))
    assert "HttpOnly" in line
    assert "Max-Age=15" in line, "half a year, as the API said"
    first = line.partition(":")[2].partition(";")[0]
    await console.submit("/logout")
    await console.post("/login", {"email": f" {EMAIL.upper()} ", "password": PASSWORD})
    assert console.api.sent("POST", "/sessions")["device_token"] == first
    await console.post("/login", {"email": "other@example.com", "password": PASSWORD})
    assert "device_token" not in console.api.sent("POST", "/sessions")
    await console.log_in()
    second = console.api.sent("POST", "/sessions")["device_token"]
    fields = {"current_password": PASSWORD, "new_password": "another sentence"}
    await console.submit("/account/password", fields)
    await console.log_in()
    assert console.api.sent("POST", "/sessions")["device_token"] not in {first, second}


async def test_signing_in_and_signing_up_replace_the_session_that_the_browser_had(console: Console) -> None:
    await console.log_in()
    assert "replaces" not in console.api.sent("POST", "/sessions")
    token = (await console.get("/account")).token
    await console.post("/login", {"email": EMAIL, "password": PASSWORD}, token=token)
    assert console.api.sent("POST", "/sessions")["replaces"] == SESSION
    await console.post("/signup", NEW, form_page="/account")
    assert console.api.sent("POST", "/accounts") == {**NEW, "replaces": SESSION}


async def test_a_wrong_password_says_so_keeps_the_email_and_never_the_password(console: Console) -> None:
    page = await console.post("/login", {"email": EMAIL, "password": "wrong but long"})
    assert page.status == 422
    assert "The e-mail or the password is wrong." in page.text
    assert EMAIL in page.text
    assert "wrong but long" not in page.text


@pytest.mark.parametrize(
    ("seconds", "words"), [("1", "1 second."), ("42", "42 seconds."), ("91", "2 minutes."), ("3600", "60 minutes.")]
)
async def test_too_many_attempts_say_when_to_come_back(console: Console, seconds: str, words: str) -> None:
    console.api.refuse["/sessions"] = lambda: refusal(429, "TOO_MANY_REQUESTS", "no", **{"Retry-After": seconds})
    assert f"Try again in {words}" in (await console.log_in()).text


async def test_the_address_of_the_reader_goes_to_the_api_for_its_throttles(console: Console) -> None:
    await console.post("/login", {"email": EMAIL, "password": PASSWORD}, headers={"X-Forwarded-For": "198.51.100.7"})
    assert "198.51.100.7" in console.api.addresses


async def test_after_login_the_requested_page_comes_back(console: Console) -> None:
    wanted = f"/projects/{PROJECT}/settings?from=bookmark"
    login = await console.get(wanted)
    assert login.path.startswith("/login?next=")
    fields = {"email": EMAIL, "password": PASSWORD, "next": wanted}
    assert (await console.post("/login", fields)).path == wanted


@pytest.mark.parametrize("elsewhere", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:x"])
async def test_login_leads_to_no_other_site(console: Console, elsewhere: str) -> None:
    fields = {"email": EMAIL, "password": PASSWORD, "next": elsewhere}
    response = await console.post("/login", fields, follow=False)
    assert response.headers["Location"] == "/"


async def test_signing_up_makes_the_account_and_opens_the_console(console: Console) -> None:
    page = await console.post("/signup", NEW, form_page="/signup")
    assert page.path == f"/projects/{PROJECT}/overview"
    assert "Welcome." in page.text
    assert console.api.sent("POST", "/accounts") == NEW
    assert "Welcome." not in (await console.get(page.path)).text, "a notice is shown once"


async def test_a_short_password_is_refused_before_the_api_is_called(console: Console) -> None:
    page = await console.post("/signup", {**NEW, "password": "short"}, form_page="/signup")
    assert "The password has 5 characters; at least 12 are needed." in page.text
    assert not [path for _, path, _, _ in console.api.calls if path == "/v1/accounts"]


async def test_a_password_keeps_its_spaces(console: Console) -> None:
    await console.post("/signup", {**NEW, "password": " twelve letters "}, form_page="/signup")
    assert console.api.sent("POST", "/accounts")["password"] == " twelve letters "


async def test_an_address_that_is_taken_is_not_confirmed(console: Console) -> None:
    page = await console.post("/signup", {**NEW, "email": EMAIL}, form_page="/signup")
    assert "could not be created with these details" in page.text


async def test_logging_out_ends_the_session_in_the_api_too(signed_in: Console) -> None:
    page = await signed_in.submit("/logout")
    assert page.path == "/login"
    assert "You are signed out." in page.text
    assert not signed_in.api.sessions
    assert signed_in.cookie(Cookies(secure=False).session_name) is None


async def test_logging_out_of_a_session_that_is_gone_works_too(signed_in: Console) -> None:
    token = (await signed_in.get("/account")).token
    signed_in.api.sessions.clear()
    assert (await signed_in.post("/logout", token=token)).path == "/login"


async def test_an_ended_session_leads_to_login_and_says_why(signed_in: Console) -> None:
    signed_in.api.sessions.clear()
    page = await signed_in.get("/account")
    assert page.path == "/login?next=/account"
    assert "Your session has ended." in page.text


async def test_an_invite_is_joined_by_its_code_and_says_first_what_to_do_without_an_account(console: Console) -> None:
    assert "/login?next=/invite" in (await console.get("/invite")).text
    await console.log_in()
    wrong = await console.post("/invite", {"token": "nonsense"}, form_page="/invite")
    assert "No such invite." in wrong.text
    assert 'value="nonsense"' in wrong.text
    joined = await console.post("/invite", {"token": f" {INVITE} "}, form_page="/invite")
    assert joined.path == f"/projects/{OTHER_PROJECT}/overview"


async def test_a_code_from_an_operator_sets_a_password(console: Console) -> None:
    fields = {"token": " code ", "new_password": "another sentence"}
    page = await console.post("/reset", fields, form_page="/reset")
    assert "Your password was set." in page.text
    assert console.api.sent("POST", "/password-resets/use") == {"token": "code", "new_password": "another sentence"}
