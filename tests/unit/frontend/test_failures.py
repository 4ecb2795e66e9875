import json

import pytest
from structlog.testing import capture_logs

from frontend.page_views import PageView
from tests.fakes.platform_api import PROJECT, SESSION, refusal
from tests.unit.frontend.conftest import Console


async def test_while_the_api_is_down_a_plain_page_says_so_and_the_console_recovers(signed_in: Console) -> None:
    signed_in.api.down = True
    page = await signed_in.get("/account")
    assert page.status == 503
    assert page.headers["Retry-After"] == "5"
    assert 'data-recover="reload"' in page.text
    signed_in.api.down = False
    assert (await signed_in.get("/account")).status == 200, "the session outlived it"


async def test_a_form_that_met_an_absent_api_is_not_sent_again_by_itself(signed_in: Console) -> None:
    token = (await signed_in.get("/account")).token
    signed_in.api.down = True
    page = await signed_in.post("/account/password", {"current_password": "x"}, token=token)
    assert page.status == 503
    assert 'data-recover="notify"' in page.text


async def test_what_the_api_refuses_is_shown_in_its_own_words_with_the_request_id(signed_in: Console) -> None:
    signed_in.api.refuse["/leave"] = lambda: refusal(403, "INSUFFICIENT_PERMISSIONS", "You may not <i>leave</i>.")
    page = await signed_in.submit(signed_in.project("leave"))
    assert page.status == 403
    assert "You may not &lt;i&gt;leave&lt;/i&gt;." in page.text
    assert "0199cccc" in page.text


async def test_an_api_that_fails_inside_is_not_the_readers_fault(signed_in: Console) -> None:
    signed_in.api.refuse["/leave"] = lambda: refusal(500, "INTERNAL_SERVER_ERROR", "It failed.")
    assert (await signed_in.submit(signed_in.project("leave"))).status == 502


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/projects", 404), ("/logout", 405)])
async def test_an_address_without_a_page_says_so(console: Console, path: str, status: int) -> None:
    page = await console.get(path)
    assert page.status == status
    assert "<h1>" in page.text


async def test_a_response_that_the_console_cannot_read_is_a_failure_of_the_api(signed_in: Console) -> None:
    signed_in.api.projects[0].pop("name")
    page = await signed_in.get(f"/projects/{PROJECT}/settings")
    assert page.status == 503


async def test_a_fault_of_ours_is_logged_and_shown_without_its_details(
    signed_in: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("name")

    monkeypatch.setattr(PageView, "render", fail)
    with capture_logs() as logs:
        page = await signed_in.get(f"/projects/{PROJECT}/settings")
    assert page.status == 500
    assert "KeyError" not in page.text
    failed = next(entry for entry in logs if entry["event"] == "page failed")
    assert failed["request_id"] in page.text


async def test_programs_get_the_contracts_shape(console: Console) -> None:
    page = await console.get("/static/x/nothing.js")
    assert page.status == 404
    assert json.loads(page.text)["err_code"] == "NOT_FOUND"


async def test_a_fragment_for_a_reader_who_is_signed_out_sends_the_whole_page_to_login(console: Console) -> None:
    page = await console.get("/account", headers={"HX-Request": "true"})
    assert page.headers["HX-Redirect"] == "/login"
    host = console.client.make_url("/projects/p/keys?x=1")
    shown = await console.get("/account", headers={"HX-Request": "true", "HX-Current-URL": str(host)})
    assert shown.headers["HX-Redirect"] == "/login?next=%2Fprojects%2Fp%2Fkeys%3Fx%3D1"


@pytest.mark.parametrize("cookie", [True, False])
async def test_a_form_whose_session_has_ended_leads_to_login_and_back_to_its_page(
    signed_in: Console, cookie: bool
) -> None:
    token = (await signed_in.get("/account")).token
    signed_in.api.sessions.clear()
    if not cookie:  # which ends when the session does
        signed_in.client.session.cookie_jar.clear()
    here, elsewhere = str(signed_in.client.make_url("/account?x=1")), "http://elsewhere.example/account"
    for page, location in (
        (here, "/login?next=%2Faccount%3Fx%3D1"), (elsewhere, "/login"), ("", "/login"), (here + "/\\evil", None),
    ):  # fmt: skip
        signed_in.client.session.cookie_jar.update_cookies({"session": SESSION} if cookie else {})
        fields, headers = {"name": "Ada"}, {"Referer": page}
        response = await signed_in.post("/account/name", fields, token=token, headers=headers, follow=False)
        assert response.status == 303
        assert location is None or response.headers["Location"] == location


async def test_a_form_of_another_site_is_refused_whatever_the_session(console: Console) -> None:
    page = await console.post("/account/name", {"name": "x"}, token="0.0", headers={"Sec-Fetch-Site": "cross-site"})
    assert page.status == 403
    assert (await console.post("/login", {"email": "x"}, token="0.0")).status == 403
