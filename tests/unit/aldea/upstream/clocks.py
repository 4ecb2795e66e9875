"""A clock that tests turn, and what they look at with it."""

from aldea.upstream import Circuit, State, Upstream


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def assert_state(of: Circuit | Upstream, state: State) -> None:
    assert (of if isinstance(of, Circuit) else of.circuit).state is state
