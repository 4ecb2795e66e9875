"""What a newcomer types first."""

import json

import pytest

from tests.e2e.box import SAMPLE_MS, StartBox


@pytest.mark.timeout(300)
def test_the_demo_by_its_own_command_shows_words_and_the_same_bill(start: StartBox) -> None:
    box = start("demo", "--json")
    assert box.process.wait(240) == 0, box.said
    outcome = json.loads(next(line for line in box.said.splitlines() if line.startswith("{")))
    assert outcome["ok"] is True
    assert outcome["word_error_rate"] <= 0.15
    assert outcome["human_word_error_rate"] is None or outcome["human_word_error_rate"] <= 0.10
    assert outcome["request_id"] == outcome["billed_request_id"]
    assert abs(outcome["billed_seconds"] - SAMPLE_MS / 1000) <= 0.1
