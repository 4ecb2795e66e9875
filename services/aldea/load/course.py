"""Course: one load test from its first stream to its report's contents, with windows that show how it went."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aldea.load.crowd import Crowd
from aldea.load.plan import Plan
from aldea.load.tally import Tally
from aldea.load.verdict import MAX_OWN_LAG_SECONDS, Judged, Objectives, Search, judge
from aldea.tasks import cancel, spawn

# A report shows at most so many windows of the course.
MAX_WINDOWS: Final = 200
_LEAST_WINDOW_SECONDS: Final = 2.0
# A stage begins to count as held once each stream was opened or refused; a handshake has 15 s.
_SETTLE_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the course: `at` and `seconds` since the start and of itself; `open` streams at its end."""

    at: float
    seconds: float
    wanted: int
    open: int
    tally: Tally


@dataclass(frozen=True, slots=True)
class Stage:
    """One load of the search for the saturation point, and whether it was carried."""

    streams: int
    carried: bool
    tally: Tally
    judged: tuple[Judged, ...]


@dataclass(slots=True)
class Result:
    """All of a test. `saturation`: the most streams that were carried; `limit`: the fewest that were not, if any."""

    plan: Plan
    seconds: float = 0.0
    most_open: int = 0
    total: Tally = field(default_factory=Tally)
    windows: list[Window] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    judged: tuple[Judged, ...] = ()
    saturation: int | None = None
    limit: int | None = None
    own_lag: float = 0.0
    interrupted: bool = False

    @property
    def credible(self) -> bool:
        """Whether the generator itself kept up."""
        return self.own_lag <= MAX_OWN_LAG_SECONDS

    @property
    def kept(self) -> bool:
        """Whether the deployment kept the objectives; with a search: whether any load was carried."""
        if not self.credible:
            return False
        return bool(self.saturation) if self.plan.saturation else all(each.kept for each in self.judged)


class Course:
    """One run of a plan. `progress` is called with each window; `stop` ends the test early, with its report."""

    def __init__(
        self,
        plan: Plan,
        crowd: Crowd,
        objectives: Objectives,
        progress: Callable[[Window], None] = lambda _window: None,
    ) -> None:
        self._plan = plan
        self._crowd = crowd
        self._objectives = objectives
        self._progress = progress
        self._stopped = asyncio.Event()
        self._wanted = 0
        self.result = Result(plan)

    def stop(self) -> None:
        """End the test now, with its last words and its report."""
        self._stopped.set()
        self.result.interrupted = True

    async def run(self) -> Result:
        """The whole test."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        result, crowd = self.result, self._crowd
        crowd.watch(result.total)
        watching = spawn(self._windows(began), name="load-windows")
        running = spawn(self._search() if self._plan.saturation else self._hold(), name="load-course")
        stopped = spawn(self._stopped.wait(), name="load-stopped")
        try:
            await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            await cancel(running, stopped, watching)
            await crowd.close()
        result.seconds = loop.time() - began
        result.most_open = crowd.most_open
        result.own_lag = crowd.own_lag.percentile(99) or 0.0
        result.judged = judge(result.total, self._objectives)
        return result

    async def _hold(self) -> None:
        plan = self._plan
        self._wanted = plan.streams
        self._crowd.upload(plan.uploads)
        await self._crowd.grow(plan.streams, plan.opening_seconds)
        await asyncio.sleep(plan.hold)

    async def _search(self) -> None:
        plan, result = self._plan, self.result
        self._crowd.upload(plan.uploads)
        search = Search(plan.streams)
        while (load := search.next) is not None:
            stage = await self._stage(load)
            result.stages.append(stage)
            search.judged(load, carried=stage.carried)
            result.saturation, result.limit = search.carried, search.refused

    async def _stage(self, streams: int) -> Stage:
        """One load, held until it is judged; no longer than it takes to see that too many streams fail."""
        crowd, plan = self._crowd, self._plan
        self._wanted = streams
        # A place that was refused begins anew: its pause is not to be taken for a stream that was not refused.
        await crowd.shrink(min(streams, crowd.open))
        tally, allowed = Tally(), self._objectives.handshakes.budget * streams
        crowd.watch(tally)
        try:
            await crowd.grow(streams, plan.opening_seconds)
            await _until(lambda: crowd.tried, _SETTLE_SECONDS)
            await _until(lambda: tally.failed > allowed, plan.hold)
        finally:
            crowd.unwatch(tally)
        judged = judge(tally, self._objectives)
        # A stage may begin no stream, or be too short for words: what was not seen is not held against it.
        carried = crowd.tried and tally.failed <= allowed and all(each.kept for each in judged[1:] if each.events)
        return Stage(streams, carried, tally, judged)

    async def _windows(self, began: float) -> None:
        loop = asyncio.get_running_loop()
        length = max(_LEAST_WINDOW_SECONDS, self._plan.longest_seconds / MAX_WINDOWS)
        while True:
            tally = Tally()
            self._crowd.watch(tally)
            start = loop.time()
            try:
                await asyncio.sleep(length)
            finally:
                self._crowd.unwatch(tally)
                window = Window(start - began, loop.time() - start, self._wanted, self._crowd.open, tally)
                self.result.windows.append(window)
                self._progress(window)


async def _until(reached: Callable[[], bool], seconds: float) -> None:
    """Wait until it is, or for about so many seconds."""
    for _ in range(round(seconds / _LOOK_SECONDS)):
        if reached():
            return
        await asyncio.sleep(_LOOK_SECONDS)
