"""The catalogue's endpoints: one table of them, and line items that are services."""

from typing import get_args

from backend.catalogue.handlers import ENDPOINTS, LINE_ITEMS
from backend.usage.models import Service


def test_every_line_item_is_a_service_with_a_description() -> None:
    assert set(LINE_ITEMS) == set(get_args(Service))
    assert all(LINE_ITEMS.values())


def test_nothing_here_changes_anything() -> None:
    assert {endpoint.method for endpoint in ENDPOINTS} == {"GET"}
