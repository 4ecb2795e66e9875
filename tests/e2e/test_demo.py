"""The demo's own command, with all that it can show: `test_newcomer` runs it as a newcomer types it."""

import json

from tests.e2e.box import SAMPLE_MS, StartBox


def test_the_demo_shows_words_that_run_on_while_an_engine_is_killed_and_the_same_bill(start: StartBox) -> None:
    box = start("demo", "--json", "--kill-engine")
    assert box.process.wait(240) == 0, box.said
    outcome = json.loads(next(line for line in box.said.splitlines() if line.startswith("{")))
    assert outcome["ok"] is True
    assert outcome["word_error_rate"] <= 0.15
    assert outcome["human_word_error_rate"] is None or outcome["human_word_error_rate"] <= 0.10
    assert outcome["request_id"] == outcome["billed_request_id"]
    assert abs(outcome["billed_seconds"] - SAMPLE_MS / 1000) <= 0.1
    failover = outcome["failover"]
    assert {failover["killed"], failover["went_on_at"]} == {"stt_api", "stt_api-2"}
    assert failover["gap_ms"] >= 0
    assert outcome["failovers"] == 1
