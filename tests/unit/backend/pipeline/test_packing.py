import json

from hypothesis import given
from hypothesis import strategies as st

from aldea.usage.envelope import MAX_BODY_BYTES, decode
from aldea.usage.reading import Rank, UsageReading
from backend.pipeline.packing import Entry, calls, coalesce, pack, split
from tests.readings import reading


def entries(*readings: UsageReading) -> list[Entry]:
    return [Entry(f"{1000 + index}-0".encode(), one.to_json().encode()) for index, one in enumerate(readings)]


def test_the_greatest_reading_of_a_request_covers_all_its_entries_and_carries_the_oldest_time() -> None:
    first = reading()
    final = reading(request_id=first.request_id, rank=Rank.FINAL, seq=2)
    kept, rejected = coalesce(entries(final, first, reading(request_id=first.request_id, seq=9)))
    assert rejected == []
    [one] = kept.values()
    assert (one.text, one.written_ms, one.entry_ids) == (final.to_json(), 1000, [b"1000-0", b"1001-0", b"1002-0"])


def test_entries_that_are_no_readings_are_named_and_the_rest_is_kept() -> None:
    good = reading()
    bad = [Entry(b"1-0", None), Entry(b"2-0", b"\xff"), Entry(b"3-0", b"{}"), Entry(b"4-0", b"[1]")]
    kept, rejected = coalesce([*bad, *entries(good)])
    assert list(kept) == [good.request_id]
    assert [ids for ids, _ in rejected] == [[b"1-0"], [b"2-0"], [b"3-0"], [b"4-0"]]
    assert rejected[1][1].text == "\\xff"


def test_a_reading_blown_up_by_unknown_fields_is_cut_to_the_known_ones() -> None:
    one = reading()
    blown = json.dumps({**json.loads(one.to_json()), "new": "x" * MAX_BODY_BYTES})
    kept, _ = coalesce([Entry(b"1-0", blown.encode())])
    assert kept[one.request_id].text == one.to_json()


@given(st.lists(st.integers(0, 16), max_size=60))
def test_packing_keeps_every_entry_once_and_every_message_within_its_size(tag_counts: list[int]) -> None:
    readings = [reading(tags=("é" * 500,) * count) for count in tag_counts]
    kept, _ = coalesce(entries(*readings))
    batches = pack(kept.values())
    assert all(len(batch.body.encode()) <= batch.size <= MAX_BODY_BYTES for batch in batches)
    assert [item.reading for batch in batches for item in decode(batch.body)[0]] == readings
    assert [entry_id for batch in batches for entry_id in batch.entry_ids] == [
        f"{1000 + index}-0".encode() for index in range(len(readings))
    ]
    grouped = calls(batches)
    assert [batch for group in grouped for batch in group] == batches
    assert all(len(group) <= 10 for group in grouped)


def test_a_message_is_filled_before_the_next_is_begun() -> None:
    batches = pack(coalesce(entries(*(reading() for _ in range(1000))))[0].values())
    assert all(batch.size > MAX_BODY_BYTES * 0.98 for batch in batches[:-1])


def test_a_split_message_holds_each_reading_alone() -> None:
    [batch] = pack(coalesce(entries(reading(), reading()))[0].values())
    parts = split(batch)
    assert [len(part.items) for part in parts] == [1, 1]
    assert [entry_id for part in parts for entry_id in part.entry_ids] == batch.entry_ids
