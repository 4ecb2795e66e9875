"""docs/settings.md names every setting of every service, with its default and its meaning."""

import re

import pytest

from aldea.settings import ServiceSettings
from tests.settings_document import DOCUMENT, SERVICES, document

CLASSES: list[type[ServiceSettings]] = [ServiceSettings, *SERVICES.values()]


def test_the_page_is_what_the_settings_classes_say() -> None:
    assert DOCUMENT.read_text() == document(), "run `make settings`"


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_setting_has_a_meaning(service: str) -> None:
    unexplained = [name for name, field in SERVICES[service].model_fields.items() if not field.description]
    assert not unexplained, "give these a description: it is also what a bad value's error shows"


def test_every_variable_is_on_the_page_and_no_other() -> None:
    shown = set(re.findall(r"^\| `([A-Z0-9_]+)` \|", DOCUMENT.read_text(), re.MULTILINE))
    read = {name.upper() for settings in CLASSES for name in settings.model_fields}
    assert shown == read
