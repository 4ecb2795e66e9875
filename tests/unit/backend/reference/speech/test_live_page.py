"""The AsyncAPI document's page: every message and parameter of it, whole without a script."""

from backend.reference.speech.asyncapi import document
from backend.reference.speech.live_page import live_page
from tests.unit.backend.reference.test_page import Reader


def test_every_message_address_and_parameter_is_shown() -> None:
    found = document()
    text = live_page(found)
    read = Reader(text)
    assert read.open == []
    assert not [tag for tag, _ in read.elements if tag == "script"]
    ids = {each.get("id") for _, each in read.elements}
    assert {name.lower() for name in found["components"]["messages"]} <= ids
    for channel in found["channels"].values():
        assert f"<code>{channel['address']}</code>" in text
        for name in channel["bindings"]["ws"]["query"]["properties"]:
            assert f"<code>{name}</code>" in text
