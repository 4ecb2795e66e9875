import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldea.usage.envelope import (
    ENVELOPE_BYTES,
    MAX_BODY_BYTES,
    Opened,
    Rejected,
    Stamped,
    dead_letter,
    decode,
    encode,
    encoded_size,
    open_dead_letter,
)
from aldea.usage.reading import MAX_TAGS, MAX_TEXT
from tests.readings import reading

# What SQS takes in a body: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


def allowed_by_sqs(body: str) -> bool:
    return all(
        char in "\t\n\r" or " " <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" or char > "\uffff" for char in body
    )


@given(st.lists(st.lists(texts, max_size=3), max_size=5))
def test_what_was_encoded_is_decoded_and_is_no_larger_than_announced_and_passes_sqs(tags: list[list[str]]) -> None:
    readings = [reading(tags=tuple(some)) for some in tags]
    written = [one.to_json() for one in readings]
    stamps = [1_775_001_599_000 + index for index in range(len(readings))]
    body = encode(written, stamps)
    assert decode(body) == ([Stamped(one, stamp) for one, stamp in zip(readings, stamps, strict=True)], [])
    assert len(body.encode()) <= ENVELOPE_BYTES + sum(map(encoded_size, written))
    assert allowed_by_sqs(body)


def test_the_largest_possible_reading_fits_into_a_message() -> None:
    worst = "\x01" * MAX_TEXT  # six bytes each as JSON
    largest = reading(lane=worst, path=worst, tags=(worst,) * MAX_TAGS)
    assert ENVELOPE_BYTES + encoded_size(largest.to_json()) <= MAX_BODY_BYTES


def test_a_bad_reading_is_named_and_the_good_ones_of_its_message_are_kept() -> None:
    good = reading()
    found, [bad] = decode(encode([good.to_json(), '{"seq":-1}', "7"], [1, 2, 3]).replace(",7]", "]"))
    assert [item.reading for item in found] == [good]
    assert bad.reason.startswith("seq: got -1")


@pytest.mark.parametrize(
    "body", ["", "not JSON", "[]", "{}", '{"v":1,"readings":7}', '{"v":9,"readings":[]}', "[" * 9999]
)
def test_a_body_that_is_unreadable_as_a_whole_is_one_reject(body: str) -> None:
    assert decode(body) == ([], [Rejected(body, decode(body)[1][0].reason)])


def test_times_that_make_no_sense_cost_no_reading() -> None:
    one = reading()
    for stamps in ("null", "[1,2]", '["x"]'):
        body = f'{{"v":1,"written_ms":{stamps},"readings":[{one.to_json()}]}}'
        assert decode(body) == ([Stamped(one, 0)], [])


@given(st.text(max_size=200))
def test_a_dead_letter_is_plain_ascii_and_keeps_the_text(text: str) -> None:
    body = dead_letter(Rejected(text, "because"), source="publisher", at_ms=7)
    assert body.isascii()
    assert allowed_by_sqs(body)
    found = json.loads(body)
    assert (found["reading"], found["reason"], found["source"], found["at_ms"]) == (text, "because", "publisher", 7)


@pytest.mark.parametrize("text", ["x" * 70_000, "😀" * 70_000, "\0" * 62_000, "\\" * 200_000])
def test_a_dead_letter_of_a_huge_text_fits_sqs_and_says_that_it_was_cut(text: str) -> None:
    body = dead_letter(Rejected(text, "too long"), source="publisher", at_ms=7)
    assert len(body) < 262_144
    cut = json.loads(body)
    assert cut["reading"] == text[: len(cut["reading"])]
    assert (len(cut["reading"]) < len(text)) == ("text cut from" in cut["reason"])


def test_a_whole_message_body_survives_as_a_dead_letter_and_can_be_read_from_it() -> None:
    many = [reading(tags=("é",)) for _ in range(100)]
    body = encode([one.to_json() for one in many], [0] * 100)
    letter = open_dead_letter(dead_letter(Rejected(body, "a later version"), source="sqs_updater", at_ms=1))
    assert [item.reading for item in letter.good] == many
    assert not letter.bad
    assert letter.explained
    assert open_dead_letter(body) == Opened(letter.good, [], explained=False)


def test_a_dead_letter_that_is_still_unreadable_says_why() -> None:
    [bad] = open_dead_letter(dead_letter(Rejected('{"seq":-1}', "x"), source="publisher", at_ms=1)).bad
    assert bad.reason.startswith("seq")
