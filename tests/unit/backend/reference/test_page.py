"""The reference's page: whole without a script, with nothing inline, and with every text escaped."""

import json
from html.parser import HTMLParser

from backend.app import ENDPOINTS
from backend.reference.document import Json, document
from backend.reference.page import example, page

DOCUMENT = document(ENDPOINTS)
VOID = {"meta", "link", "input", "br"}


class Reader(HTMLParser):
    """Reads a page and notes its elements; a tag that is closed out of turn is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_operation_is_shown_and_listed() -> None:
    read = Reader(page(DOCUMENT))
    assert read.open == []
    ids = [found["id"] for tag, found in read.elements if tag == "details" and "id" in found]
    links = {found["href"] for tag, found in read.elements if tag == "a"}
    assert sorted(map(str, ids)) == sorted(endpoint.operation_id for endpoint in ENDPOINTS)
    assert {f"#{endpoint.operation_id}" for endpoint in ENDPOINTS} <= links


def test_all_comes_from_this_address_and_nothing_is_inline() -> None:
    read = Reader(page(DOCUMENT))
    for tag, found in read.elements:
        assert tag != "style"
        assert not [name for name in found if name.startswith("on") or name == "style"]
        for name in ("src", "href"):
            assert "//" not in (found.get(name) or ""), f"{tag} {name}"
    assert [found["src"] for tag, found in read.elements if tag == "script"] == ["docs/reference.js"]


def test_texts_are_escaped() -> None:
    hostile: Json = json.loads(json.dumps(DOCUMENT).replace("List API keys", "<script>alert(1)</script>"))
    assert "<script>alert" not in page(hostile)
    assert "&lt;script&gt;alert" in page(hostile)


def test_an_example_has_every_field_in_its_form() -> None:
    found = example(DOCUMENT, {"$ref": "#/components/schemas/CreateKey"})
    assert set(found) == set(DOCUMENT["components"]["schemas"]["CreateKey"]["properties"])
    assert found["scopes"] == ["keys:read"]
    assert found["expiration_date"] == "2026-03-31T09:30:00Z"
