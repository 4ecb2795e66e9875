import pytest

from stt_api.recognition.watchdog import LOOPING_SECONDS, STUCK_SECONDS, Watchdog


def looks(*, computing: float | None, seconds: int, heard_every: int | None = None) -> tuple[int, str] | None:
    """Look once a second at a process that computes this share of a core; when it counts as stuck, and why."""
    watchdog, heard = Watchdog(), 1000.0
    for second in range(seconds):
        if heard_every and second % heard_every == 0:
            heard = 1000.0 + second
        why = watchdog.stuck(1000.0 + second, heard, None if computing is None else 5.0 + computing * second)
        if why is not None:
            return second, why
    return None


def test_a_process_that_stands_still_is_stuck() -> None:
    found = looks(computing=0.0, seconds=1000)
    assert found is not None
    assert found[0] == STUCK_SECONDS + 1
    assert "did not compute" in found[1]


@pytest.mark.parametrize("share", [0.9, 0.1, 0.02])
def test_a_process_that_is_slow_is_given_the_computing_it_needs(share: float) -> None:
    """The machine is busy: it gets a tenth of a core, or a fiftieth, and a step takes minutes."""
    assert looks(computing=share, seconds=int(LOOPING_SECONDS / share) - 5) is None
    found = looks(computing=share, seconds=int(LOOPING_SECONDS / share) + 20)
    assert found is not None
    assert "without a word" in found[1]


def test_a_process_that_says_something_is_not_stuck() -> None:
    assert looks(computing=1.0, seconds=2000, heard_every=20) is None
    assert looks(computing=0.0, seconds=2000, heard_every=20) is None


def test_where_computing_is_not_known_silence_alone_counts() -> None:
    found = looks(computing=None, seconds=1000)
    assert found is not None
    assert found[0] == STUCK_SECONDS + 1


def test_a_process_that_stops_computing_in_the_middle_of_its_work_is_stuck() -> None:
    watchdog = Watchdog()
    for second in range(50):
        assert watchdog.stuck(1000.0 + second, 1000.0, 5.0 + min(second, 20)) is None
    assert watchdog.stuck(1000.0 + 20 + STUCK_SECONDS + 1, 1000.0, 25.0) is not None
