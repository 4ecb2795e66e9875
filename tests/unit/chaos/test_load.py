"""What a client of the harness notices of its words."""

import random
from typing import Any
from unittest.mock import Mock

import pytest

from tests.chaos.book import Driven
from tests.chaos.load import _Stream


def final(*words: tuple[int, float]) -> dict[str, Any]:
    said = [{"word": str(number), "start": start} for number, start in words]
    channel = {"alternatives": [{"words": said}]}
    return {"type": "Results", "is_final": True, "start": 0.0, "duration": 0.1, "channel": channel}


@pytest.mark.parametrize(
    ("messages", "faults"),
    [
        ([final((1, 0.0), (2, 0.05)), final((3, 0.1))], []),
        ([final((1, 0.0)), final((1, 0.0))], ["the word 1 at 0.0000, not 2 at 0.0500"]),
        ([final((1, 0.0), (3, 0.1))], ["the word 3 at 0.1000, not 2 at 0.0500"]),
        ([final((1, 0.0)), final((2, 0.0))], ["the word 2 at 0.0000, not 2 at 0.0500"]),
        ([final((1, 0.0)), {"type": "Results", "is_final": False}], []),
    ],
    ids=["right", "twice", "lost", "at a wrong time", "not final"],
)
def test_words_that_are_wrong_are_noted(messages: list[dict[str, Any]], faults: list[str]) -> None:
    one = Driven("a", "stream", "ws_proxy-1", 0.0, 1000)
    stream = _Stream(Mock(), one, random.Random(1), 1.0)
    for message in messages:
        stream._heard(message)
    assert one.faults == faults
