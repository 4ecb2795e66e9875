"""The console's guard: cookies over TLS, sessions that end, forged forms, hostile names, an API that is unavailable."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, expect

from onebox.ports import free_port, port_accepts
from onebox.process import Process, ProcessSpec
from tests.e2e.box import environment
from tests.e2e.browser import PASSWORD, PATIENCE_MS, Platform, reader_of
from tests.e2e.gate import Gate, gate, server_tls

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@asynccontextmanager
async def console(folder: Path, api_port: int, **settings: str) -> AsyncIterator[int]:
    """A console of the test's own before the Platform API on this port; its port."""
    port = free_port()
    spec = ProcessSpec(
        name="frontend",
        argv=(sys.executable, "-m", "frontend"),
        env=environment(
            PORT=str(port), BIND_HOST="127.0.0.1", PLATFORM_API_URL=f"http://127.0.0.1:{api_port}",
            PUBLIC_API_URL="http://localhost:9", DRAIN_SECONDS="1", **settings,
        ),
        ready=lambda: port_accepts(port),
    )  # fmt: skip
    process = Process(spec, log=folder / "frontend.log").start()
    try:
        yield port
    finally:
        process.stop()


def backend_port(platform: Platform) -> int:
    port: int = platform.box.state["ports"]["backend"]
    return port


async def test_over_tls_the_cookies_are_this_hosts_alone_and_the_browser_stays_with_https(
    console_browser: Browser, console_platform: Platform, tmp_path: Path
) -> None:
    account = await console_platform.sign_up()
    try:
        tls = server_tls(tmp_path)
    except FileNotFoundError:
        pytest.skip("no openssl here: it makes the certificate of this test's server")
    async with (
        console(tmp_path, backend_port(console_platform), COOKIE_SECURE="true") as port,
        gate(port, tls) as front,
        reader_of(console_browser, f"https://localhost:{front.port}", ignore_https_errors=True) as reader,
    ):
        page = await reader.context.new_page()
        response = await page.goto(reader.origin + "/login")
        assert response is not None
        assert "max-age=63072000" in response.headers["strict-transport-security"]
        await page.get_by_label("E-mail").fill(account.email)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Log in").click()
        await expect(page).to_have_url(re.compile("/overview$"))
        cookies = {cookie["name"]: cookie for cookie in await reader.context.cookies()}
        assert {"__Host-session", "__Host-project"} <= set(cookies)
        for name, cookie in cookies.items():
            assert cookie["secure"], name
            assert cookie["path"] == "/", name
            assert cookie["domain"] == "localhost", name
            assert cookie["httpOnly"] == name.startswith("__Host-"), name
        await page.get_by_text("Grace Hopper").click()
        await page.get_by_role("button", name="Log out").click()
        await expect(page).to_have_url(re.compile("/login$"))
        assert "__Host-session" not in {cookie["name"] for cookie in await reader.context.cookies()}


async def test_a_session_that_has_ended_leads_to_the_login_and_back_to_where_one_was(
    console_browser: Browser, console_platform: Platform
) -> None:
    account = await console_platform.sign_up()
    async with reader_of(console_browser, console_platform.console) as reader:
        await reader.sign_in(account)
        page = await reader.open(f"/projects/{account.project_id}/keys")
        await console_platform.call("DELETE", "/v1/sessions/current", account.session)
        await page.get_by_role("link", name="Limits").click()
        await expect(page.get_by_role("status")).to_contain_text("Your session has ended. Log in again.")
        assert not [cookie for cookie in await reader.context.cookies() if cookie["name"] == "session"]
        await page.get_by_label("E-mail").fill(account.email)
        await page.get_by_label("Password").fill("not this sentence")
        with reader.expecting("status of 422"):
            await page.get_by_role("button", name="Log in").click()
            await expect(page.get_by_role("alert")).to_contain_text("The e-mail or the password is wrong.")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Log in").click()
        await expect(page).to_have_url(re.compile("/limits$"))
        # It ends by itself when the API says that it does, in the browser too.
        [cookie] = [cookie for cookie in await reader.context.cookies() if cookie["name"] == "session"]
        [stored] = await console_platform.rows(
            "select extract(epoch from max(expires))::float8 as expires from sessions join users using (user_id)"
            " where email = $1",
            account.email,
        )
        assert cookie["expires"] == pytest.approx(stored["expires"], abs=60)


async def test_an_ended_session_comes_back_to_the_same_form_with_its_text(
    console_browser: Browser, console_platform: Platform
) -> None:
    account = await console_platform.sign_up()
    session = account.session
    async with reader_of(console_browser, console_platform.console) as reader:

        async def log_in_again(page: Page) -> None:
            await expect(page.get_by_role("status")).to_contain_text("Your session has ended.")
            await page.get_by_label("E-mail").fill(account.email)
            await page.get_by_label("Password", exact=True).fill(PASSWORD)
            await page.get_by_role("button", name="Log in").click()
            await expect(page.get_by_text("Your text is back")).to_be_visible()

        await reader.sign_in(account)
        # A form of a page: where it was, with what was typed, but for the password.
        page = await reader.open("/account")
        await page.get_by_label("New e-mail").fill("king@example.com")
        await page.locator("#email-password").fill(PASSWORD)
        await console_platform.call("DELETE", "/v1/sessions/current", session)
        await page.get_by_role("button", name="Change e-mail").click()
        await log_in_again(page)
        await expect(page).to_have_url(re.compile("/account$"))
        await expect(page.get_by_label("New e-mail")).to_have_value("king@example.com")
        await expect(page.locator("#email-password")).to_have_value("")
        # One in a dialog: as a page of its own.
        await page.goto(f"{reader.origin}/projects/{account.project_id}/keys")
        await page.get_by_role("link", name="Create the first key").click()
        await page.get_by_label("Name").fill("Kept over a login")
        await page.get_by_label("Create and revoke keys").check()
        await page.get_by_label("Expires").select_option(index=1)
        await console_platform.rows(
            "update sessions set ended = now(), revision = nextval('revisions')"
            " where user_id = (select user_id from users where email = $1)",
            account.email,
        )
        [cookie] = [cookie for cookie in await reader.context.cookies() if cookie["name"] == "session"]
        async with asyncio.timeout(PATIENCE_MS / 1000):
            while await console_platform.lets_in(replace(account, session=cookie["value"])):
                await asyncio.sleep(0.1)
        await page.get_by_role("button", name="Create key").click()
        await log_in_again(page)
        await expect(page.get_by_label("Name")).to_have_value("Kept over a login")
        await expect(page.get_by_label("Create and revoke keys")).to_be_checked()
        await page.get_by_role("button", name="Create key").click()
        await expect(page.locator("#made-key")).to_contain_text("org_")
        # What was sent does not come back.
        await page.goto(f"{reader.origin}/projects/{account.project_id}/keys/new")
        await expect(page.get_by_label("Name")).to_have_value("")


async def test_an_expired_session_opens_nothing(console_browser: Browser, console_platform: Platform) -> None:
    account = await console_platform.sign_up()
    await console_platform.rows(
        "update sessions set expires = now() where user_id = (select user_id from users where email = $1)",
        account.email,
    )
    async with reader_of(console_browser, console_platform.console) as reader:
        await reader.sign_in(account)
        # The API remembers for some seconds whom it has let in; after that nobody gets in.
        async with asyncio.timeout(PATIENCE_MS / 1000):
            while await console_platform.lets_in(account):
                await asyncio.sleep(0.1)
        page = await reader.open(f"/projects/{account.project_id}/keys")
        await expect(page).to_have_url(re.compile("/login"))
        await expect(page.get_by_role("status")).to_contain_text("Your session has ended.")


async def test_another_sites_form_does_nothing(console_browser: Browser, console_platform: Platform) -> None:
    account = await console_platform.sign_up()
    forged = f"""<!doctype html><form method="post" action="{console_platform.console}/logout"><input name="csrf"
        value="0.0"></form><script>document.forms[0].submit()</script>"""

    async def response(route: Route) -> None:
        await route.fulfill(body=forged, content_type="text/html")

    async with reader_of(console_browser, console_platform.console) as reader:
        await reader.sign_in(account)
        page = await reader.context.new_page()
        await page.route("http://elsewhere.localhost/", response)
        with reader.expecting("status of 403"):
            await page.goto("http://elsewhere.localhost/")
            await expect(page.get_by_text("was not sent from this site")).to_be_visible()
        await reader.open(f"/projects/{account.project_id}/keys", page)
        await expect(page.get_by_role("heading", name="API keys")).to_be_visible()


async def test_names_that_people_give_are_text_wherever_they_stand(
    console_browser: Browser, console_platform: Platform
) -> None:
    name = "<img src=x onerror=alert(1)>\"'&{{7*7}}"
    account = await console_platform.sign_up(project=name)
    await console_platform.make_key(account, name)
    async with reader_of(console_browser, console_platform.console) as reader:
        await reader.sign_in(account)
        for section in ("overview", "keys", "audit", "settings", "limits", "playground"):
            page = await reader.open(f"/projects/{account.project_id}/{section}")
            await expect(page.locator(".switcher-name")).to_contain_text(name)
            assert await page.locator("img").count() == 0
        await reader.open(f"/projects/{account.project_id}/keys", page)
        await page.get_by_role("link", name="Revoke").click()
        await expect(page.get_by_role("dialog")).to_contain_text(f"Revoke “{name}”?")
        assert await page.locator("img").count() == 0


async def test_an_api_that_is_away_is_a_plain_page_that_comes_back_by_itself(
    console_browser: Browser, console_platform: Platform, tmp_path: Path
) -> None:
    account = await console_platform.sign_up()
    api: Gate
    async with (
        gate(backend_port(console_platform)) as api,
        console(tmp_path, api.port, COOKIE_SECURE="false") as port,
        reader_of(console_browser, f"http://localhost:{port}") as reader,
    ):
        await reader.sign_in(account)
        live = await reader.open(f"/projects/{account.project_id}/overview")
        form = await reader.open(f"/projects/{account.project_id}/settings")
        await api.close()
        with reader.expecting("503"):
            page = await reader.open(f"/projects/{account.project_id}/keys")
            await expect(page.get_by_role("heading", name="The console is temporarily unavailable")).to_be_visible()
            # A page that is open says so and stays as it is; what was typed is not said to have worked.
            await expect(live.get_by_text("The console is temporarily unavailable. Trying again.")).to_be_visible()
            await expect(live.get_by_role("heading", name="Overview")).to_be_visible()
            await form.get_by_label("Name").fill("Other")
            await form.get_by_role("button", name="Rename").click()
            await expect(form.get_by_text("may not have been saved")).to_be_visible()
            await api.open()
            await expect(page.get_by_role("heading", name="API keys")).to_be_visible()
            await expect(form.get_by_text("The console is available again.")).to_be_visible()
