"""What is said of a running request."""

from backend.live.models import LiveLane, LiveRequest


def test_a_running_request_is_shown_by_what_is_known_before_its_end() -> None:
    assert not {"code", "close_code", "state"} & set(LiveRequest.model_fields)
    assert {"lane", "service", "streams"} <= set(LiveLane.model_fields)
