from tests.unit.ws_proxy.conftest import arrows
from ws_proxy.websocket.terms import Limits, RelayState


def test_every_state_is_in_the_diagram_and_all_but_the_last_are_left() -> None:
    drawn = arrows()
    assert {state for arrow in drawn for state in arrow} == set(RelayState)
    assert {begin for begin, _ in drawn} == set(RelayState) - {RelayState.ENDED}


def test_a_server_that_hangs_is_given_up_within_ten_seconds() -> None:
    limits = Limits()
    assert limits.hang_ping + limits.hang_pong + 2 <= 10  # a tick comes once a second, and the last byte before one
