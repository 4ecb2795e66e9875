from typing import Any

import pytest

from ws_proxy.websocket.utterances import SILENT_SECONDS, Utterances


def results(end: float, *words: float, final: bool = True, channel: Any = (0, 1)) -> dict[str, Any]:
    """A Results up to `end` whose words end at these times."""
    said = [{"word": "x", "start": at - 0.1, "end": at} for at in words]
    index = list(channel) if isinstance(channel, tuple) else channel
    return {
        "type": "Results", "start": 0.0, "duration": end, "is_final": final, "channel_index": index,
        "channel": {"alternatives": [{"words": said}]},
    }  # fmt: skip


def utterance_end(last: float, channel: tuple[int, int] = (0, 1)) -> dict[str, Any]:
    return {"type": "UtteranceEnd", "channel": list(channel), "last_word_end": last}


def after(*messages: dict[str, Any]) -> Utterances:
    found = Utterances(1.0)
    for message in messages:
        found.passed(message)
    return found


def test_silence_that_is_long_enough_ends_the_utterance_once() -> None:
    found = after(results(1.2, 0.5, 1.0))
    assert found.due_before(results(1.9)) == []
    assert found.due_before(results(2.0)) == [utterance_end(1.0)]
    assert found.due_before(results(9.0)) == []
    assert found.due_in_silence(99) == []


def test_a_server_that_says_nothing_has_heard_silence_after_a_while() -> None:
    found = after(results(1.2, 1.0))
    assert found.due_in_silence(1.9 + SILENT_SECONDS) == []
    assert found.due_in_silence(2.0 + SILENT_SECONDS) == [utterance_end(1.0)]
    assert found.due_in_silence(99) == []


@pytest.mark.parametrize(
    "later",
    [utterance_end(1.0), results(1.5, 1.4, final=False)],
    ids=["it was sent", "somebody goes on"],
)
def test_nothing_is_due_that_was_sent_or_whose_utterance_goes_on(later: dict[str, Any]) -> None:
    found = after(results(1.2, 1.0), later)
    assert found.due_before(results(9.0)) == []


def test_words_that_come_late_are_no_silence_and_the_end_counts_from_them() -> None:
    found = after(results(1.2, 1.0))
    assert found.due_before(results(9.0, 8.5)) == []
    found.passed(results(9.0, 8.5))
    assert found.due_before(results(9.4)) == []
    assert found.due_before(results(9.5)) == [utterance_end(8.5)]


def test_each_channel_has_utterances_of_its_own() -> None:
    found = after(results(1.2, 1.0, channel=(0, 2)), results(4.0, 3.0, channel=(1, 2)))
    assert found.due_before(results(9.0, channel=(1, 2))) == [utterance_end(3.0, (1, 2))]
    assert found.due_in_silence(99) == [utterance_end(1.0, (0, 2))]


@pytest.mark.parametrize("channel", [None, [], "x", [True], [10**400], [-1]])
def test_what_cannot_be_is_passed_over(channel: Any) -> None:
    found = after(
        results(1.2, 1.0, channel=channel),
        {"type": "Results", "is_final": True, "channel": None},
        {"type": "Results", "is_final": True, "channel": {"alternatives": [{"words": [{"end": "x"}]}]}},
        {"type": ["Results"]},
    )
    assert found.due_before({"type": "Results", "start": "x", "duration": 5}) == []
    assert len(found.due_in_silence(99)) == 1
