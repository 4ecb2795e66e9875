"""Lines of CSV, and texts that no spreadsheet takes for a formula."""

import csv
import io
import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.usage.export import DAY_COLUMNS, REQUEST_COLUMNS, JsonFile, day_line, harmless, lines, request_line
from backend.usage.rows import Amounts, RequestRow

ROW: dict[str, Any] = {
    "request_id": "r", "key_id": "k", "started_ms": 1_775_001_599_250, "service": "streaming", "lane": "live1",
    "path": "/listen/v1", "endpoint": "/v1/listen", "tags": ["a, b", "=1+1"], "rank": 2, "audio_ms": 3000,
    "channels": 2, "connection_ms": 1700, "bytes_in": 5, "bytes_out": 6, "status": 101, "close_code": None,
    "charge_micros": 300, "failovers": 2, "first_word_ms": 640, "project_id": "p", "price_id": None, "model": "",
    "features": [],
}  # fmt: skip


def test_a_request_is_one_line_of_its_columns() -> None:
    text = lines([REQUEST_COLUMNS, request_line(RequestRow(**ROW))]).decode()
    assert text.count("\r\n") == 2
    [row] = csv.DictReader(io.StringIO(text))
    assert row["created"] == "2026-03-31T23:59:59.250Z"
    assert (row["state"], row["code"], row["close_code"], row["audio_ms"]) == ("final", "101", "", "3000")
    assert row["tags"] == "a, b | '=1+1"
    assert (row["charge_micros"], row["failovers"]) == ("300", "2")


async def test_a_json_file_is_one_array_however_many_batches_it_has() -> None:
    def file() -> JsonFile:
        return JsonFile(lambda row: {"request_id": row.request_id, "tags": row.tags})

    async def written(*batches: int) -> bytes:
        made = file()
        pieces = [await made.batch([RequestRow(**ROW)] * count) for count in batches]
        return made.opening + b"".join(pieces) + made.closing

    one = {"request_id": "r", "tags": ["a, b", "=1+1"]}
    assert json.loads(await written()) == []
    assert json.loads(await written(2)) == json.loads(await written(1, 1)) == [one, one]
    assert (await written(1, 2)).count(b"\n") == 5


def test_a_day_is_one_line_of_its_columns() -> None:
    amounts = {
        "requests": 2,
        "audio_ms": 5_400_000,
        "connection_ms": 1,
        "bytes_in": 2,
        "bytes_out": 3,
        "charge_micros": 4,
    }
    found = dict(zip(DAY_COLUMNS, day_line(date(2026, 3, 31), Amounts(**amounts)), strict=True))
    assert found == {"day": date(2026, 3, 31), "audio_hours": "1.500000", **amounts}


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", " =1", "\tx", "\rx", "\nx", "\uff1d1", "\uff0b1", "\uff20x"])
def test_what_could_begin_a_formula_begins_with_an_apostrophe(text: str) -> None:
    assert harmless(text) == f"'{text}"


def test_neither_does_what_follows_another_locales_separator() -> None:
    assert harmless("a;=1, -2\n@x") == "a;'=1, '-2\n'@x"
    assert harmless("a \t =1") == "a \t '=1"
    assert harmless("a\u2028=1") == "a\u2028'=1"


@pytest.mark.parametrize("text", ["", "prod", "/v1/listen", "a=b", "2026-03-31", "mail@example.com", "a - b", "'=1"])
def test_harmless_texts_stay_as_they_are(text: str) -> None:
    assert harmless(text) == text


@given(st.text(alphabet="=+-@,;|\"' \t\r\na\uff1d", max_size=12))
def test_no_cell_begins_a_formula_whatever_separates_cells(text: str) -> None:
    for line in harmless(text).splitlines():
        for cell in line.replace(",", ";").replace("\t", ";").split(";"):
            assert not cell.lstrip().startswith(tuple("=+-@\uff1d")), harmless(text)
