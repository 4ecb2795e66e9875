"""Time that was not lived through does not count against a peer. The clock stops when the test stops it."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from aldea import standstill
from aldea.standstill import BEAT_SECONDS, NOTICED_SECONDS, SECOND_LOOK_SECONDS, Heart, Later
from aldea.tasks import Deadline


class Loop:
    """A loop's clock and timers, both moved by the test; `read` is what its poll of the sockets does."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.read: Callable[[], None] = lambda: None

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> "Timer":
        return self.call_at(self.now + seconds, callback)

    def call_at(self, when: float, callback: Callable[[], None]) -> "Timer":
        self.timers.append((when, callback))
        return Timer(self, self.timers[-1])

    def live(self, seconds: float) -> None:
        """Time passes and each timer fires when it is due."""
        until = self.now + seconds
        while (due := min((when for when, _ in self.timers), default=until + 1)) <= until:
            self.now = max(self.now, due)
            self.turn()
        self.now = until

    def stand_still(self, seconds: float) -> None:
        """Time passes and nothing happens; then, in one turn, all that fell due, the earliest first."""
        self.now += seconds
        self.turn()

    def turn(self) -> None:
        due = sorted((entry for entry in self.timers if entry[0] <= self.now), key=lambda entry: entry[0])
        for entry in due:
            if entry in self.timers:
                self.timers.remove(entry)
                entry[1]()
        self.read()


class Timer:
    def __init__(self, loop: Loop, entry: tuple[float, Callable[[], None]]) -> None:
        self.loop, self.entry = loop, entry

    def cancel(self) -> None:
        if self.entry in self.loop.timers:
            self.loop.timers.remove(self.entry)


@pytest.fixture(autouse=True)
def nothing_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill._Lost, "seconds", 0.0)


@pytest.fixture
def loop() -> Iterator[Loop]:
    found = Loop()
    heart = Heart(found)  # type: ignore[arg-type]
    yield found
    heart.stop()
    assert not [callback for _, callback in found.timers if callback == heart._beat]


def test_a_timer_fires_once_its_time_was_lived_through(loop: Loop) -> None:
    fired: list[float] = []
    Later(loop, 5, lambda: fired.append(loop.now))  # type: ignore[arg-type]
    loop.live(4.99)
    assert fired == []
    loop.live(1)
    assert fired == [pytest.approx(105 + SECOND_LOOK_SECONDS)]
    assert standstill.lost() == 0


@pytest.mark.parametrize("before", [0.0, 3.0, 4.9, 4.999])
def test_after_a_standstill_what_was_left_of_a_deadline_is_still_left(loop: Loop, before: float) -> None:
    fired: list[float] = []
    Later(loop, 5, lambda: fired.append(loop.now))  # type: ignore[arg-type]
    loop.live(before)
    with capture_logs() as logs:
        loop.stand_still(60)
    assert [line["event"] for line in logs] == ["the process stood still"]
    loop.live(max(0.0, 5 - before - BEAT_SECONDS) + SECOND_LOOK_SECONDS / 2)
    assert fired == []
    loop.live(5)
    assert len(fired) == 1


def test_what_came_during_a_standstill_is_read_before_the_verdict(loop: Loop) -> None:
    """Also where nothing was left of the deadline, so that the standstill alone would not move it."""
    fired: list[float] = []
    timer = Later(loop, 5, lambda: fired.append(loop.now))  # type: ignore[arg-type]
    loop.live(4.9999)
    loop.read = timer.cancel
    loop.stand_still(60)
    loop.live(100)
    assert fired == []


def test_a_busy_moment_is_no_standstill(loop: Loop) -> None:
    loop.live(1)
    loop.stand_still(NOTICED_SECONDS / 2)
    assert standstill.lost() == 0
    before = standstill.lived(loop)  # type: ignore[arg-type]
    loop.stand_still(60)
    assert standstill.lost() > 59
    assert standstill.lived(loop) - before < 1  # type: ignore[arg-type]


async def test_a_deadline_is_reported_after_what_came_in_time() -> None:
    """The event loop was held up for longer than the deadline, and what is waited for came meanwhile."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[str] = loop.create_future()
    with Deadline(0.001):
        # Due after the deadline, as a socket is read after the timers.
        loop.call_later(0.001 + SECOND_LOOK_SECONDS / 4, came.set_result, "in time")
        assert await came == "in time"
    with pytest.raises(TimeoutError), Deadline(0.001):
        await asyncio.Event().wait()
