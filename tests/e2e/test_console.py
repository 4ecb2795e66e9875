"""From sign-up to the first transcript, and from a key's creation to its end, in a real browser."""

import asyncio
import base64
import json
import re

import aiohttp
import pytest
from playwright.async_api import Browser, FilePayload, Page, expect

from aldea.ids import new_request_id
from aldea.tasks import spawn
from onebox import human_speech
from tests.e2e.axe import violations
from tests.e2e.browser import PASSWORD, Platform, chromium, close_code, reader_of, silent_stream
from tests.recordings import encoded

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SAID = "the morning was quiet"
COPIED = "() => [...document.querySelectorAll('button')].some(button => button.textContent.includes('Copied'))"


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
        await expect(page.locator("#utterances .interim")).to_be_visible()
        await heard(page, SAID)
        await page.get_by_role("button", name="Stop").click()
        await expect(page.locator("#state")).to_have_attribute("data-state", "done")
        await expect(page.locator("#state-text")).to_contain_text("words in")
        assert await violations(page) == []
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
        await expect(steps).to_have_count(0)
        newest = overview.get_by_role("region", name="Newest requests")
        await expect(newest.get_by_role("link", name=f"…{request_id[-8:]}")).to_be_visible()

        # Nothing that the browser ever received is a key, and the token was good for this stream alone.
        cookies = {cookie["name"]: cookie for cookie in await reader.context.cookies()}
        assert cookies["session"]["httpOnly"]
        assert cookies["session"]["sameSite"] == "Lax"
        assert await page.evaluate("document.cookie.includes('session')") is False


async def test_a_person_who_speaks_into_the_playground_is_understood(console_platform: Platform) -> None:
    reading = human_speech.recording("two_cities.wav")
    if reading is None:
        pytest.skip("the recording of a person comes with moonshine, which is not installed here")
    account = await console_platform.sign_up()
    async with chromium(reading) as browser, reader_of(browser, console_platform.console) as reader:
        await reader.sign_in(account)
        page = await reader.open(f"/projects/{account.project_id}/playground")
        await page.get_by_role("button", name="Start speaking").click()
        await heard(page, "it was the best of times it was the worst of times")
        await page.get_by_role("button", name="Stop").click()
        await expect(page.locator("#state")).to_have_attribute("data-state", "done")


async def drop(page: Page, file: FilePayload) -> None:
    """Drag a file over the page's stage and let it go there."""
    carried = await page.evaluate_handle(
        """({ name, mimeType, content }) => {
            const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
            const carried = new DataTransfer();
            carried.items.add(new File([bytes], name, { type: mimeType }));
            return carried;
        }""",
        {"name": file["name"], "mimeType": file["mimeType"], "content": base64.b64encode(file["buffer"]).decode()},
    )
    stage = page.locator(".stage")
    await stage.dispatch_event("dragenter", {"dataTransfer": carried})
    await stage.dispatch_event("dragover", {"dataTransfer": carried})
    await expect(stage).to_have_class(re.compile(r"\bover\b"))
    await stage.dispatch_event("drop", {"dataTransfer": carried})
    await expect(stage).not_to_have_class(re.compile(r"\bover\b"))


async def test_a_file_is_transcribed_chosen_or_dropped_and_one_that_is_no_audio_is_said_to_be_none(
    console_browser: Browser, console_platform: Platform
) -> None:
    account = await console_platform.sign_up()
    recording = FilePayload(name="note.ogg", mimeType="audio/ogg", buffer=encoded("ogg-opus", 3.0))
    async with reader_of(console_browser, console_platform.console) as reader:
        await reader.sign_in(account)
        page = await reader.open(f"/projects/{account.project_id}/playground")
        state = page.locator("#state")
        await page.locator("#file").set_input_files(recording)
        await heard(page, SAID)
        await expect(state).to_have_attribute("data-state", "done")
        chosen = await page.locator("#fact-request").inner_text()

        await drop(page, recording)
        await expect(page.locator("#fact-request")).not_to_have_text(re.compile(f"—|{chosen}"))
        await heard(page, SAID)
        await expect(state).to_have_attribute("data-state", "done")
        await expect(page.locator("#utterances .interim")).to_have_count(0)

        await drop(page, FilePayload(name="list.txt", mimeType="text/plain", buffer=b"milk, bread, eggs\n" * 400))
        await expect(state).to_have_attribute("data-state", "fault")
        await expect(page.locator("#state-text")).to_contain_text("The stream was ended")
        assert await words_of(page) == ""


async def test_a_key_from_its_creation_to_its_revocation_which_ends_what_it_has_open(
    console_browser: Browser, console_platform: Platform
) -> None:
    account = await console_platform.sign_up()
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
        await dialog.get_by_label("Expires").select_option("In 30 days")
        await dialog.get_by_label("Tags").fill("hall, north")
        await dialog.get_by_role("button", name="Create key").click()
        made = page.get_by_role("region", name="Your new key")
        await expect(made).to_be_visible()
        key = (await made.locator("#made-key").inner_text()).strip()
        assert re.fullmatch(r"org_\w{20,}", key)
        await expect(made.locator("#code-curl")).to_contain_text(f"Authorization: Token {key}")
        # It says so for two seconds, which the page itself cannot miss.
        copied = spawn(page.wait_for_function(COPIED), name="copied")
        await asyncio.sleep(0)
        await made.get_by_role("button", name="Copy key").click()
        await copied
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
        await expect(page.get_by_text("The old key works until")).to_be_visible()
        newer = (await page.locator("#made-key").inner_text()).strip()
        headers = {"Authorization": f"Token {key}"}
        async with (
            silent_stream(http, console_platform, key) as old,
            silent_stream(http, console_platform, newer) as kept,
        ):
            row = page.get_by_role("row").filter(has_text=f"…{key[-4:]}")
            await row.get_by_role("link", name="Revoke kiosk").click()
            dialog = page.get_by_role("dialog")
            await expect(dialog).to_contain_text("stops working at once")
            await dialog.get_by_role("button", name="Revoke key").click()
            await expect(page.get_by_role("status")).to_contain_text("The key was revoked.")
            await expect(page.get_by_role("row").filter(has_text=f"…{key[-4:]}")).to_have_count(0)

            # New requests are refused at once, and the open stream ends with the contract's code.
            async with http.post(f"{console_platform.box.http}/v1/listen", headers=headers, data=b"audio") as refused:
                assert refused.status == 401
            assert await close_code(old) == 1008
            await kept.send_json({"type": "CloseStream"})
            assert await close_code(kept) == 1000


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
        await expect(playground.locator("#state")).to_have_attribute("data-state", "fault")
        await expect(playground.locator("#state-text")).to_contain_text("The stream was ended")
