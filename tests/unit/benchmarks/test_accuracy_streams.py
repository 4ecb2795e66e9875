from typing import Any

import numpy as np
import pytest

from benchmarks import accuracy_streams
from benchmarks.accuracy_streams import Heard, figures, in_time, onset


def results(start: float, duration: float, transcript: str, *, final: bool) -> dict[str, Any]:
    alternatives = [{"transcript": transcript}]
    return {
        "type": "Results",
        "start": start,
        "duration": duration,
        "is_final": final,
        "channel": {"alternatives": alternatives},
    }


def test_first_words_count_from_the_first_sound_and_finals_from_the_end_of_their_audio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = Heard(onset=0.25)
    for now, message in (
        (500.0, {"type": "Metadata"}),
        (500.5, results(0.0, 0.4, "", final=False)),
        (501.0, results(0.0, 0.9, "it", final=False)),
        (504.0, results(0.0, 3.5, "it was", final=True)),
        (510.0, results(3.5, 5.0, "", final=True)),
        (512.0, results(8.5, 1.0, "the best", final=True)),
    ):
        monkeypatch.setattr(accuracy_streams, "monotonic", lambda now=now: now)
        heard.take(message)
    assert heard.first_words == 0.75
    assert heard.lags == [0.5, 2.5]
    found = figures([heard, Heard(onset=0.25)])
    assert (found["first_most"], found["finals_p95"], found["finals_most"]) == (0.75, 0.5, 2.5)
    assert in_time({"1": found, "2": found, "4": {**found, "finals_p95": 9.0}}) == 2


def test_somebody_begins_to_speak_where_it_is_no_longer_silent() -> None:
    samples = np.zeros(16_000, dtype=np.int16)
    samples[:] = 10
    samples[1_600:1_700] = 30_000  # a click is no speech
    samples[4_000:] = -32_768
    assert onset(samples, 16_000) == 0.25
    assert onset(np.zeros(100, dtype=np.int16), 16_000) == 0.0
