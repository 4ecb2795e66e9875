"""Every change of a relay's state in these tests is an arrow of the diagram in docs/live-streams.md."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from ws_proxy.websocket.relay import Relay
from ws_proxy.websocket.terms import RelayState

_PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "live-streams.md"
_ARROW: Final = re.compile(r"^ +(\w+) --> (\w+):", re.MULTILINE)


def arrows() -> set[tuple[RelayState, RelayState]]:
    diagram = _PAGE.read_text().partition("stateDiagram-v2")[2].partition("```")[0]
    return {(RelayState[begin.upper()], RelayState[end.upper()]) for begin, end in _ARROW.findall(diagram)}


class _Watched:
    """The attribute `state`, which notes what no arrow leads to."""

    def __init__(self, slot: Any, drawn: set[tuple[RelayState, RelayState]]) -> None:
        self._slot = slot
        self._drawn = drawn
        self.undrawn: set[tuple[str, str]] = set()

    def __get__(self, relay: Relay, owner: type | None = None) -> Any:
        return self._slot.__get__(relay, owner)

    def __set__(self, relay: Relay, state: RelayState) -> None:
        before = getattr(relay, "state", state)
        if before is not state and (before, state) not in self._drawn:
            self.undrawn.add((before.value, state.value))
        self._slot.__set__(relay, state)


@pytest.fixture(autouse=True)
def _states_are_drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    watched = _Watched(vars(Relay)["state"], arrows())
    monkeypatch.setattr(Relay, "state", watched)
    yield
    assert not watched.undrawn
