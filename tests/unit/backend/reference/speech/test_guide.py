"""The guide: one source with the repository's documents; every link leads somewhere, every example is right."""

import hashlib
import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from backend.alerts.events import TYPES
from backend.alerts.webhook import headers, new_secret, payload
from backend.app import ENDPOINTS
from backend.reference.routes import _files
from backend.reference.speech.guide import CHAPTERS, FOLDER, html, page, slug
from http_proxy.callbacks.delivery import signature
from tests.unit.backend.reference.speech.test_schemas import fits
from tests.unit.backend.reference.test_page import Reader

PAGES = {chapter.path: Reader(page(chapter)) for chapter in CHAPTERS}
EXAMPLES = [
    (chapter.file, name, text)
    for chapter in CHAPTERS
    for name, text in re.findall(
        r"(?:<!-- (\w+) -->\n)?```json\n(.*?)```", (FOLDER / chapter.file).read_text(), re.DOTALL
    )
]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.file)
def test_a_page_is_whole_and_all_of_it_comes_from_here(chapter: Any) -> None:
    read = PAGES[chapter.path]
    assert read.open == []
    for tag, found in read.elements:
        assert tag not in {"style", "script"}
        assert not [name for name in found if name.startswith("on") or name == "style"]
    headings = [tag for tag, _ in read.elements if re.fullmatch("h[1-6]", tag)]
    assert headings.count("h1") == 1


def test_every_link_leads_to_a_page_that_is_served_and_to_a_place_on_it() -> None:
    served = _files(ENDPOINTS)
    for path, read in PAGES.items():
        for tag, found in read.elements:
            target = found.get("href") if tag in {"a", "link"} else None
            if target is None:
                continue
            address, _, anchor = target.partition("#")
            assert (address or path) in served, f"{path}: {target}"
            if anchor:
                places = {each.get("id") for _, each in PAGES[address or path].elements}
                assert anchor in places, f"{path}: {target}"


def test_every_document_of_the_guide_is_served() -> None:
    assert {path.name for path in FOLDER.glob("speech-api*.md")} <= {chapter.file for chapter in CHAPTERS}


@pytest.mark.parametrize(("file", "name", "text"), EXAMPLES)
def test_an_example_is_what_it_claims_to_be(file: str, name: str, text: str) -> None:
    assert name, f"{file}: say before the example which schema it has"
    fits(name, json.loads(text))


def test_the_check_of_a_delivery_accepts_ours_and_no_other() -> None:
    [code] = re.findall(r"```python\n# genuine\n(.*?)```", (FOLDER / "speech-api-callbacks.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # the document's own example
    key = "org_" + "x" * 38
    body = b'{"results": {}}'
    header = signature(hashlib.sha256(key.encode()).hexdigest(), body, int(time.time()))
    assert names["genuine"](header, body, key)
    assert not names["genuine"](header, body + b" ", key)
    assert not names["genuine"](header, body, key[:-1])


def test_the_check_of_a_webhook_accepts_ours_and_no_other() -> None:
    document = (FOLDER / "speech-api-webhooks.md").read_text()
    [code] = re.findall(r"```python\n# genuine-webhook\n(.*?)```", document, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # the document's own example
    genuine, secret, old = names["genuine"], new_secret(), new_secret()
    body = payload("an-id", "balance.low", datetime.now(UTC), {"units": "usd"})
    sent = headers("an-id", body, time.time(), [old, secret])
    assert genuine(sent, body.encode(), secret)
    assert genuine(sent, body.encode(), old)
    assert not genuine(sent, body.encode() + b" ", secret)
    assert not genuine(sent, body.encode(), new_secret())
    assert not genuine(headers("an-id", body, time.time() - 1000, [secret]), body.encode(), secret)

    # The example of a request has what ours have.
    [shown] = re.findall(r"```http\n(.*?)```", document, re.DOTALL)
    head, _, example = shown.partition("\n\n")
    assert [line.partition(":")[0] for line in head.splitlines()[1:]] == list(sent)
    assert json.loads(example).keys() == json.loads(body).keys()


def test_the_types_of_events_are_those_that_are_sent() -> None:
    document = (FOLDER / "speech-api-webhooks.md").read_text()
    rows = [line.split("|")[1] for line in document.splitlines() if line.startswith("| `")]
    assert [name for row in rows for name in re.findall(r"`([a-z_]+\.[a-z_]+)`", row)] == list(TYPES)


def test_markdown_becomes_html_and_html_in_it_text() -> None:
    made = html(
        "# A `b` c!\n\n<script>x</script>\n\n[e](speech-api-errors.md#bad-request)\n\n|a|b|\n|---|---|\n|1|2|\n"
    )
    assert '<h1 id="a-b-c">' in made
    assert "<script>" not in made
    assert 'href="/docs/errors#bad-request"' in made
    assert '<div class="wide"><table>' in made
    assert slug("ASR_PAYMENT_REQUIRED") == "asr_payment_required"
