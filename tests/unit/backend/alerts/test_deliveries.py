"""Deliveries: a claim outlasts an attempt."""

from backend.alerts.deliveries import CLAIM_SECONDS, OF_A_LANE
from backend.alerts.mail import SEND_SECONDS
from backend.alerts.webhook import ATTEMPT_SECONDS
from backend.alerts.worker import CONCURRENT


def test_no_delivery_is_taken_from_a_process_that_still_attempts_it() -> None:
    assert max(ATTEMPT_SECONDS, SEND_SECONDS) + 5 <= CLAIM_SECONDS


def test_one_receiver_has_a_small_part_of_a_process() -> None:
    assert OF_A_LANE * 8 <= CONCURRENT
