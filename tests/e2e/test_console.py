"""What people do in the console, in a real browser on the whole platform."""

import asyncio
import csv
import io
import json
import re
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from playwright.async_api import Browser, FilePayload, Page, expect

from aldea.ids import new_request_id
from tests.e2e.browser import PASSWORD, PATIENCE_MS, Platform, Reader, reader_of
from tests.recordings import encoded

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SAID = "the morning was quiet"


async def words_of(page: Page) -> str:
    return " ".join(await page.locator("#utterances .word").all_inner_texts()).lower()


async def heard(page: Page, words: str) -> None:
    """Wait until the transcript has these words, final."""
    await page.wait_for_function(
        "words => [...document.querySelectorAll('#utterances .word')].map(word => word.textContent).join(' ')"
        ".toLowerCase().replace(/[.,]/g, '').includes(words)",
        arg=words,
    )


async def test_from_sign_up_to_the_first_transcript_spoken_into_the_microphone(
    console_browser: Browser, console_platform: Platform
) -> None:
    async with reader_of(console_browser, console_platform.console, accept_downloads=True) as reader:
        overview = await reader.open("/")
        await expect(overview).to_have_url(re.compile("/login$"))
        await overview.get_by_role("link", name="Sign up").click()
        await overview.get_by_label("Your name").fill("Ada Lovelace")
        email = f"ada-{new_request_id()[-12:]}@example.com"
        await overview.get_by_label("E-mail").fill(email)
        await overview.get_by_label("Password").fill(PASSWORD)
        await overview.get_by_label("First project").fill("Engines")
        await overview.get_by_role("button", name="Create account").click()

        # The first steps, with addresses that are this deployment's own.
        await expect(overview.get_by_role("status")).to_contain_text("Your account and your first project are ready.")
        steps = overview.get_by_role("region", name="Your first request")
        await expect(steps.locator("#code-curl")).to_contain_text(f":{console_platform.box.port}/v1/listen")
        await steps.get_by_role("tab", name="JavaScript").click()
        await expect(steps.locator("#code-javascript")).to_contain_text("new WebSocket")

        # In another tab, words: interim ones first, which then settle.
        page = await reader.open(overview.url.replace("overview", "playground"))
        await page.get_by_role("button", name="Start speaking").click()
        await expect(page.locator("#utterances .interim")).to_be_visible(timeout=PATIENCE_MS)
        await heard(page, SAID)
        await page.get_by_role("button", name="Stop").click()
        await expect(page.locator("#state")).to_have_attribute("data-state", "done", timeout=PATIENCE_MS)
        await expect(page.locator("#state-text")).to_contain_text("words in")
        word = page.locator("#utterances .word").first
        assert re.fullmatch(r"\d+\.\d\d.\d+\.\d\d s · \d+ % sure", await word.get_attribute("title") or "")

        # What was heard can be taken along.
        saved = {}
        for format_ in ("txt", "srt", "json"):
            async with page.expect_download() as download:
                await page.get_by_role("button", name=format_, exact=True).click()
            saved[format_] = (await (await download.value).path()).read_text()
        spoken = await words_of(page)
        assert " ".join(saved["txt"].lower().split()) == spoken
        assert saved["srt"].startswith("1\n00:00:0")
        assert " --> " in saved["srt"]
        request_id = await page.locator("#fact-request").inner_text()
        assert json.loads(saved["json"])["request_id"] == request_id

        # The first page noticed by itself that the first request has arrived, and shows it.
        await expect(steps).to_have_count(0, timeout=PATIENCE_MS)
        newest = overview.get_by_role("region", name="Newest requests")
        await expect(newest.get_by_role("link", name=f"…{request_id[-8:]}")).to_be_visible(timeout=PATIENCE_MS)

        # Nothing that the browser was ever told is a key, and the token was good for this stream alone.
        cookies = {cookie["name"]: cookie for cookie in await reader.context.cookies()}
        assert cookies["session"]["httpOnly"]
        assert cookies["session"]["sameSite"] == "Lax"
        assert await page.evaluate("document.cookie.includes('session')") is False


async def test_a_file_is_transcribed_and_one_that_is_no_audio_is_said_to_be_none(
    console_browser: Browser, console_platform: Platform
) -> None:
    account = await console_platform.sign_up()
    async with reader_of(console_browser, console_platform.console) as reader:
        await reader.sign_in(account)
        page = await reader.open(f"/projects/{account.project_id}/playground")
        await page.locator("#file").set_input_files(
            FilePayload(name="note.ogg", mimeType="audio/ogg", buffer=encoded("ogg-opus", 4.0))
        )
        await heard(page, SAID)
        await expect(page.locator("#state")).to_have_attribute("data-state", "done", timeout=PATIENCE_MS)
        await page.locator("#file").set_input_files(
            FilePayload(name="list.txt", mimeType="text/plain", buffer=b"milk, bread, eggs\n" * 400)
        )
        await expect(page.locator("#state")).to_have_attribute("data-state", "fault", timeout=PATIENCE_MS)
        await expect(page.locator("#state-text")).to_contain_text("The stream was ended")


async def test_a_key_from_its_creation_to_its_revocation_which_ends_what_it_has_open(
    console_browser: Browser, console_platform: Platform
) -> None:
    account = await console_platform.sign_up()
    ws = f"{console_platform.box.ws}/v1/listen?encoding=linear16&sample_rate=16000"
    async with (
        reader_of(
            console_browser, console_platform.console, permissions=["clipboard-read", "clipboard-write"]
        ) as reader,
        aiohttp.ClientSession() as http,
    ):
        await reader.sign_in(account)
        page = await reader.open(f"/projects/{account.project_id}/keys")
        await page.get_by_role("link", name="Create the first key").click()
        dialog = page.get_by_role("dialog", name="Create a key")
        await dialog.get_by_label("Name").fill("kiosk")
        await dialog.get_by_label("It ends").select_option("In 30 days")
        await dialog.get_by_label("Tags").fill("hall, north")
        await dialog.get_by_role("button", name="Create key").click()
        made = page.get_by_role("region", name="Your new key")
        await expect(made).to_be_visible()
        key = (await made.locator("code").inner_text()).strip()
        assert re.fullmatch(r"org_\w{20,}", key)
        await made.get_by_role("button", name="Copy key").click()
        await expect(made.get_by_role("button")).to_have_text("Copied")
        assert await page.evaluate("navigator.clipboard.readText()") == key

        # Shown once: a second look has its last characters only.
        await page.reload()
        assert key not in await page.content()
        row = page.get_by_role("row").filter(has_text="kiosk")
        await expect(row).to_contain_text(f"org_…{key[-4:]}")
        await expect(row).to_contain_text("Tags: hall, north")
        await expect(row).to_contain_text("never")

        # A rotation: both are good for a day.
        await row.get_by_role("link", name="Rotate kiosk").click()
        await page.get_by_role("dialog").get_by_role("button", name="Rotate key").click()
        await expect(page.get_by_text("The old key stays good until")).to_be_visible()
        newer = (await page.locator("#made-key").inner_text()).strip()
        headers = {"Authorization": f"Token {key}"}
        async with (
            http.ws_connect(ws, headers=headers) as old,
            http.ws_connect(ws, headers={"Authorization": f"Token {newer}"}) as kept,
        ):
            row = page.get_by_role("row").filter(has_text=f"…{key[-4:]}")
            await row.get_by_role("link", name="Revoke kiosk").click()
            dialog = page.get_by_role("dialog")
            await expect(dialog).to_contain_text("stops working at once")
            await dialog.get_by_role("button", name="Revoke key").click()
            await expect(page.get_by_role("status")).to_contain_text("The key is revoked.")
            await expect(page.get_by_role("row").filter(has_text=f"…{key[-4:]}")).to_have_count(0)

            # New requests are refused at once, and the open stream ends with the contract's code.
            async with http.post(f"{console_platform.box.http}/v1/listen", headers=headers, data=b"audio") as refused:
                assert refused.status == 401
            assert await close_code(old) == 1008
            assert not kept.closed


async def close_code(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """The code that the server closes with; until then the stream is kept open through silence."""
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while True:
            await socket.send_json({"type": "KeepAlive"})
            message = await socket.receive()
            if message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING}:
                return socket.close_code


async def test_an_open_playground_stream_ends_when_its_session_does(
    console_browser: Browser, console_platform: Platform
) -> None:
    account = await console_platform.sign_up()
    async with reader_of(console_browser, console_platform.console) as reader:
        await reader.sign_in(account)
        playground = await reader.open(f"/projects/{account.project_id}/playground")
        await playground.get_by_role("button", name="Start speaking").click()
        await expect(playground.locator("#utterances .interim, #utterances .word").first).to_be_visible()
        page = await reader.open("/account")
        await page.get_by_text("Grace Hopper", exact=True).first.click()
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("status")).to_contain_text("You are signed out.")
        await expect(playground.locator("#state")).to_have_attribute("data-state", "fault", timeout=PATIENCE_MS)
        await expect(playground.locator("#state-text")).to_contain_text("The stream was ended")


async def test_usage_is_what_postgresql_has_down_to_one_requests_timeline_and_the_csv(
    console_browser: Browser, console_platform: Platform
) -> None:
    account = await console_platform.sign_up()
    key = await console_platform.make_key(account, "server", tags=["web"])
    await console_platform.fill_days(account, key["api_key_id"], 20)
    zone = ZoneInfo("Asia/Kolkata")
    async with reader_of(console_browser, console_platform.console, timezone_id=zone.key) as reader:
        await reader.sign_in(account)
        page = await reader.open(f"/projects/{account.project_id}/usage")

        # Day by day, and all together.
        truth = await console_platform.rows(
            "select day, sum(requests)::int as requests, sum(audio_ms)::bigint as audio_ms from usage_daily"
            " where project_id = $1 group by day order by day desc",
            account.project_id,
        )
        shown = [
            [await cell.inner_text() for cell in await row.locator("td").all()]
            for row in await page.locator("#usage-table tbody tr").all()
        ]
        assert [[cells[0], int(cells[1]), cells[3]] for cells in shown] == [
            [f"{row['day']:%a, %d %b %Y}", row["requests"], f"{row['audio_ms'] / 3_600_000:.4f}"] for row in truth
        ]
        assert len(shown) == 20
        total = await page.locator("#usage-table tfoot td").all_inner_texts()
        assert total[0] == str(sum(row["requests"] for row in truth))
        assert total[2] == f"{sum(row['audio_ms'] for row in truth) / 3_600_000:.4f}"

        # The chart is drawn, and says by its legend what a day had.
        await expect(page.locator(".chart canvas")).to_be_visible()
        await page.locator(".chart .u-over").hover()
        await expect(page.locator(".chart .u-legend")).to_contain_text(re.compile(r"Audio\s*:?\s*\d"))

        # By tag, narrowed by what the form says, without a new page.
        await page.get_by_role("navigation", name="Group by").get_by_role("link", name="Tag").click()
        await expect(page.locator("#usage-table tbody")).to_contain_text("Without a tag")
        await page.get_by_label("Tag", exact=True).fill("web")
        await page.get_by_label("Tag", exact=True).press("Enter")
        await expect(page).to_have_url(re.compile(r"[?&]tag=web"))
        tagged = await console_platform.rows(
            "select count(*) as requests from usage_requests where project_id = $1 and 'web' = any(tags)",
            account.project_id,
        )
        await expect(page.locator("#usage-table tfoot td").first).to_have_text(str(tagged[0]["requests"]))

        # One day opens to its requests, and one request to its timeline, in the reader's zone.
        await page.goto(f"{reader.origin}/projects/{account.project_id}/usage")
        day: date = truth[2]["day"]
        await page.get_by_role("link", name=f"{day:%a, %d %b %Y}").click()
        requests = await console_platform.rows(
            "select request_id::text, started_ms, audio_ms from usage_requests where project_id = $1 and day = $2",
            account.project_id,
            day,
        )
        assert await page.get_by_role("row").count() == len(requests) + 1 == 4
        chosen = requests[0]
        await page.get_by_role("link", name=f"…{chosen['request_id'][-8:]}").click()
        await expect(page.get_by_role("heading", name=chosen["request_id"])).to_be_visible()
        started = datetime.fromtimestamp(chosen["started_ms"] / 1000, zone)
        timeline = page.locator(".timeline li")
        await expect(timeline.nth(0)).to_contain_text(f"{started:%d %b %Y, %H:%M:%S}")
        await expect(timeline.nth(1)).to_contain_text(f"{chosen['audio_ms'] / 1000:.3f} s")
        ended = started + timedelta(seconds=62)
        await expect(timeline.nth(2)).to_contain_text(f"{ended:%d %b %Y, %H:%M:%S}")
        await expect(timeline.nth(2)).to_contain_text("closed 1000")
        facts = page.get_by_role("region", name="Figures")
        await expect(facts).to_contain_text("2.0 MB")
        await expect(facts).to_contain_text("server (…")

        # As a file: a line for each request, whose sum is the bill's.
        await page.goto(f"{reader.origin}/projects/{account.project_id}/usage")
        await page.get_by_text("CSV").click()
        async with page.expect_download() as download:
            await page.get_by_role("link", name="A line for each request").click()
        saved = await download.value
        assert re.fullmatch(r"usage-\d{4}-\d\d-\d\d-\d{4}-\d\d-\d\d\.csv", saved.suggested_filename)
        lines = list(csv.DictReader(io.StringIO((await saved.path()).read_text())))
        stored = await console_platform.rows(
            "select request_id::text, audio_ms from usage_requests where project_id = $1", account.project_id
        )
        assert {line["request_id"] for line in lines} == {row["request_id"] for row in stored}
        assert sum(int(line["audio_ms"]) for line in lines) == sum(row["audio_ms"] for row in stored)


async def test_the_first_page_that_a_browser_ever_sees_has_its_times_in_its_zone(
    console_browser: Browser, console_platform: Platform
) -> None:
    account = await console_platform.sign_up()
    key = await console_platform.make_key(account)
    zone = ZoneInfo("Pacific/Auckland")
    created = datetime.fromisoformat(key["created"]).astimezone(zone)
    async with reader_of(console_browser, console_platform.console, timezone_id=zone.key) as reader:
        await reader.sign_in(account)
        for _ in ("first written in UTC", "then by the server"):
            page = await reader.open(f"/projects/{account.project_id}/keys")
            await expect(page.locator("td time")).to_have_text(f"{created:%d %b %Y, %H:%M}")


async def test_an_invite_is_made_accepted_and_seen_and_the_member_rises_and_goes(
    console_browser: Browser, console_platform: Platform
) -> None:
    owner = await console_platform.sign_up("Grace Hopper", "Compilers")
    email = f"alan-{new_request_id()[-12:]}@example.com"
    async with (
        reader_of(console_browser, console_platform.console) as host,
        reader_of(console_browser, console_platform.console) as guest,
    ):
        await host.sign_in(owner)
        page = await host.open(f"/projects/{owner.project_id}/members")
        await page.get_by_role("link", name="Invite a person").click()
        dialog = page.get_by_role("dialog", name="Invite a person")
        await dialog.get_by_label("E-mail").fill(email)
        await dialog.get_by_role("button", name="Make the invite").click()
        code = await page.locator("#made-code").inner_text()
        await expect(page.get_by_role("region", name="Open invites").last).to_contain_text(email)

        # The guest comes by the address that the host was told, has no account, and makes one on the way.
        theirs = await guest.open("/invite")
        await theirs.get_by_role("link", name="Sign up").click()
        await theirs.get_by_label("Your name").fill("Alan Turing")
        await theirs.get_by_label("E-mail").fill(email)
        await theirs.get_by_label("Password").fill(PASSWORD)
        await theirs.get_by_role("button", name="Create account").click()
        with guest.expecting("status of 422"):
            await theirs.get_by_label("Invite code").fill("inv_nothing-like-it")
            await theirs.get_by_role("button", name="Join").click()
            await expect(theirs.get_by_role("alert")).to_contain_text("Ask for a new one.")
        await theirs.get_by_label("Invite code").fill(code)
        await theirs.get_by_role("button", name="Join").click()
        await expect(theirs).to_have_url(re.compile(f"{owner.project_id}/overview$"))
        await expect(theirs.get_by_role("status")).to_contain_text("You have joined the project.")
        await expect(theirs.locator(".switcher-name")).to_have_text("Project: Compilers")
        await expect(theirs.get_by_role("link", name="Audit log")).to_have_count(0)

        # The host sees them, makes them an admin, and removes them.
        await page.goto(f"{host.origin}/projects/{owner.project_id}/members")
        await expect(page.get_by_text("Nobody is invited right now.")).to_be_visible()
        await page.get_by_role("link", name="Role of Alan Turing").click()
        await page.get_by_role("dialog").get_by_label("Admin").check()
        await page.get_by_role("dialog").get_by_role("button", name="Change role").click()
        await expect(page.get_by_role("row").filter(has_text=email)).to_contain_text("admin")
        await page.get_by_role("link", name="Remove Alan Turing").click()
        await page.get_by_role("dialog").get_by_role("button", name="Remove Alan Turing").click()
        await expect(page.get_by_role("row").filter(has_text=email)).to_have_count(0)
        with guest.expecting("status of 404"):
            await theirs.reload()
            await expect(theirs.get_by_role("heading", name="Nothing here")).to_be_visible()

        # All of it stands in the audit log.
        await page.get_by_role("link", name="Audit log").click()
        log = page.get_by_role("region", name="Changes, newest first")
        for line in (f"Invited {email}", "Accepted an invite", "member → admin", "Removed"):
            await expect(log).to_contain_text(line)


async def test_an_operator_changes_limits_and_suspends_a_project_and_its_people_see_it(
    console_browser: Browser, console_platform: Platform
) -> None:
    account = await console_platform.sign_up("Grace Hopper", f"Compilers {new_request_id()[-8:]}")
    key = await console_platform.make_key(account)
    name = (await console_platform.call("GET", f"/v1/projects/{account.project_id}", account.session))["name"]
    async with (
        reader_of(console_browser, console_platform.console) as operator,
        reader_of(console_browser, console_platform.console) as owner,
        aiohttp.ClientSession() as http,
    ):
        await operator.sign_in(await console_platform.operator())
        await owner.sign_in(account)
        ws = f"{console_platform.box.ws}/v1/listen?encoding=linear16&sample_rate=16000"
        async with http.ws_connect(ws, headers={"Authorization": f"Token {key['key']}"}) as stream:
            page = await operator.open("/operator")
            await expect(page.locator("#lanes tbody tr").first).to_be_visible(timeout=PATIENCE_MS)
            await expect(page.locator("#lanes")).to_contain_text("local")
            await page.get_by_label("Name, owner's address or id").fill(name)
            await expect(page.locator("#found tbody tr")).to_have_count(1)
            await page.get_by_role("link", name=name).click()
            await page.get_by_label("Hours of audio a month").fill("2.5")
            await page.get_by_label("Requests a minute").fill("")
            await page.get_by_role("button", name="Change limits").click()
            await expect(page.get_by_role("status")).to_contain_text("The limits are changed.")
            theirs = await owner.open(f"/projects/{account.project_id}/limits")
            await expect(theirs.get_by_role("main")).to_contain_text("of 2.50 h")
            await expect(theirs.get_by_role("main")).to_contain_text("No limit")

            await page.get_by_label("Reason").fill("unpaid since May")
            await page.get_by_role("button", name=f"Suspend {name}").click()
            await expect(page.get_by_role("status")).to_contain_text("The project is suspended.")
            assert await close_code(stream) == 1008
        await theirs.reload()
        await expect(theirs.get_by_role("alert").first).to_contain_text("This project is suspended")
        await theirs.get_by_role("link", name="Audit log").click()
        await expect(theirs.get_by_role("main")).to_contain_text("unpaid since May")
        await page.get_by_role("button", name=f"Resume {name}").click()
        await expect(page.get_by_role("status")).to_contain_text("The project is resumed.")


async def tab_to(page: Page, name: str, *, backwards: bool = False) -> None:
    """Press Tab until what has the focus is called so; everything on the way shows that it has it."""
    for _ in range(60):
        await page.keyboard.press("Shift+Tab" if backwards else "Tab")
        found = await page.evaluate(
            """() => {
                const at = document.activeElement;
                const style = getComputedStyle(at);
                const name = at.getAttribute("aria-label") || (at.labels?.length ? at.labels[0].textContent : "")
                    || at.textContent;
                return {
                    name: name.replace(/\\s+/g, " ").trim(),
                    ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
                    body: at === document.body,
                };
            }"""
        )
        if not found["body"]:
            assert found["ring"], f"{found['name']} does not show its focus"
        if found["name"] == name:
            return
    pytest.fail(f"no Tab reaches {name}")


async def test_everything_can_be_done_by_keyboard_alone(console_browser: Browser, console_platform: Platform) -> None:
    account = await console_platform.sign_up()
    async with reader_of(console_browser, console_platform.console) as reader:
        page = await reader.open("/login")
        await expect(page.get_by_label("E-mail")).to_be_focused()
        await page.keyboard.type(account.email)
        await tab_to(page, "Password")
        await page.keyboard.type(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile("/overview$"))

        # Past the navigation in one step, then along the tabs with the arrows.
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#main")).to_be_focused()
        await tab_to(page, "curl")
        await page.keyboard.press("ArrowRight")
        await expect(page.get_by_role("tab", name="Python SDK")).to_be_focused()
        await expect(page.get_by_role("tabpanel", name="Python SDK")).to_be_visible()

        # A dialog takes the focus, keeps it, gives it back when it is left, and does its work.
        await page.goto(f"{reader.origin}/projects/{account.project_id}/keys")
        await tab_to(page, "Create the first key")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog").get_by_label("Name")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(page.get_by_role("link", name="Create the first key")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog").get_by_label("Name")).to_be_focused()
        await page.keyboard.type("by hand")
        await tab_to(page, "Create key")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Your new key")).to_be_focused()

        # The menus open with Enter and close with Escape, which gives the focus back.
        await tab_to(page, "Project: Compilers", backwards=True)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("link", name="New project")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("link", name="New project")).to_be_hidden()
        await tab_to(page, "Dark")
        await page.keyboard.press("Space")
        assert await page.evaluate("document.documentElement.dataset.theme") == "dark"


async def test_the_chosen_theme_stays_and_the_menu_of_a_phone_opens_and_closes(
    console_browser: Browser, console_platform: Platform
) -> None:
    account = await console_platform.sign_up()
    phone = {"viewport": {"width": 360, "height": 780}, "color_scheme": "light", "has_touch": True}
    async with reader_of(console_browser, console_platform.console, **phone) as reader:
        await reader.sign_in(account)
        page = await reader.open(f"/projects/{account.project_id}/settings")
        link = page.get_by_role("link", name="API keys")
        await expect(link).to_be_hidden()
        await page.get_by_role("button", name="Menu").tap()
        await expect(page.get_by_role("button", name="Menu")).to_have_attribute("aria-expanded", "true")
        light = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        await page.get_by_role("button", name="Dark").tap()
        dark = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert light != dark
        await link.tap()
        await expect(page).to_have_url(re.compile("/keys$"))
        await expect(link).to_be_hidden()
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


async def test_files_of_the_console_and_its_reader(console_browser: Browser, console_platform: Platform) -> None:
    """The watch itself: what a page does wrong is found."""
    reader: Reader
    with pytest.raises(AssertionError, match="Content Security Policy"):
        async with reader_of(console_browser, console_platform.console) as reader:
            page = await reader.open("/login")
            await page.evaluate(
                "() => { const element = document.createElement('p'); element.setAttribute('style', 'color: red');"
                " document.body.append(element); const script = document.createElement('script');"
                " script.textContent = 'window.broken = 1'; document.body.append(script); }"
            )
    with pytest.raises(AssertionError, match="secrets in addresses"):
        async with reader_of(console_browser, console_platform.console) as reader:
            await reader.open("/login?next=org_abcdefghijklmnopqrstuvwxyz")
