from stt_api.recognition.endpointing import FRAME_MS, MIN_SILENCE_MS, Change, Endpointer


def run(endpointer: Endpointer, *spans: tuple[bool, int]) -> list[tuple[int, Change]]:
    """Feed spans of (speech, milliseconds); the changes with the time in ms at which each came."""
    changes, time = [], 0
    for is_speech, length in spans:
        for _ in range(length // FRAME_MS):
            time += FRAME_MS
            if (change := endpointer.push(is_speech)) is not None:
                changes.append((time, change))
    return changes


def test_speech_starts_after_a_short_onset_and_ends_after_the_requested_silence() -> None:
    changes = run(Endpointer(300), (False, 600), (True, 900), (False, 900))
    assert changes == [(720, Change.STARTED), (1800, Change.ENDED)]


def test_a_click_is_no_speech() -> None:
    assert run(Endpointer(300), (False, 600), (True, 60), (False, 900), (True, 90), (False, 900)) == []


def test_a_pause_shorter_than_the_wish_does_not_end_an_utterance() -> None:
    changes = run(Endpointer(600), (True, 900), (False, 570), (True, 900), (False, 600))
    assert [change for _, change in changes] == [Change.STARTED, Change.ENDED]


def test_a_wish_for_less_silence_than_words_contain_is_raised() -> None:
    changes = run(Endpointer(10), (True, 900), (False, 900))
    assert changes[1] == (900 + MIN_SILENCE_MS, Change.ENDED)


def test_without_a_wish_only_length_ends_an_utterance() -> None:
    endpointer = Endpointer(None)
    assert [change for _, change in run(endpointer, (True, 900), (False, 9_000))] == [Change.STARTED]
    assert [change for _, change in run(endpointer, (False, 9_000))] == [Change.CUT]
    assert not endpointer.in_speech


def test_long_speech_is_cut_at_a_short_pause_and_waits_for_a_new_onset() -> None:
    endpointer = Endpointer(300)
    changes = run(endpointer, (True, 12_000), (False, 150))
    assert changes[-1] == (12_120, Change.CUT)
    assert not endpointer.in_speech


def test_speech_without_any_pause_is_cut_and_goes_on() -> None:
    endpointer = Endpointer(300)
    changes = run(endpointer, (True, 45_000))
    assert [change for _, change in changes] == [Change.STARTED, Change.CUT, Change.CUT]
    assert endpointer.in_speech


def test_after_a_reset_the_next_speech_is_a_new_utterance() -> None:
    endpointer = Endpointer(300)
    run(endpointer, (True, 900))
    endpointer.reset()
    assert run(endpointer, (True, 300))[0][1] is Change.STARTED
