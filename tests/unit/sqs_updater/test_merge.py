import random

from hypothesis import given
from hypothesis import strategies as st

from aldea.usage.envelope import Stamped
from aldea.usage.reading import UsageReading
from sqs_updater.merge import reduce_batch
from tests.readings import delivered, histories


class Store:
    """Our rule in its simplest form: a reading replaces the stored one iff its order is greater."""

    def __init__(self) -> None:
        self.rows: dict[str, UsageReading] = {}
        self.total_ms = 0

    def merge(self, batch: list[UsageReading]) -> None:
        for one in batch:
            old = self.rows.get(one.request_id)
            if old is None or one.order > old.order:
                self.total_ms += one.audio_ms - (old.audio_ms if old else 0)
                self.rows[one.request_id] = one


@given(histories(), st.randoms(use_true_random=False))
def test_any_order_duplication_and_loss_of_checkpoints_is_the_same_bill(
    written: list[list[UsageReading]], rng: random.Random
) -> None:
    deliveries = delivered(written, rng)
    store = Store()
    while deliveries:
        size = rng.randint(1, 7)
        store.merge(reduce_batch(Stamped(one, 0) for one in deliveries[:size]))
        deliveries = deliveries[size:]
    assert set(store.rows.values()) == {request[-1] for request in written}
    assert store.total_ms == sum(request[-1].audio_ms for request in written)


@given(histories(), st.randoms(use_true_random=False))
def test_a_request_that_never_ended_is_billed_up_to_the_last_checkpoint_that_arrived(
    written: list[list[UsageReading]], rng: random.Random
) -> None:
    unfinished = [request[:-1] for request in written]
    deliveries = [one for request in unfinished for one in request for _ in range(rng.randint(1, 3))]
    rng.shuffle(deliveries)
    store = Store()
    while deliveries:
        size = rng.randint(1, 7)
        store.merge(reduce_batch(Stamped(one, 0) for one in deliveries[:size]))
        deliveries = deliveries[size:]
    assert store.total_ms == sum(max(one.audio_ms for one in request) for request in unfinished)


@given(histories(), st.randoms(use_true_random=False))
def test_a_reduced_batch_has_one_reading_a_request_sorted_by_request_id(
    written: list[list[UsageReading]], rng: random.Random
) -> None:
    batch = [Stamped(one, 0) for request in written for one in request]
    rng.shuffle(batch)
    reduced = reduce_batch(batch)
    assert [one.request_id for one in reduced] == sorted(request[0].request_id for request in written)
    assert set(reduced) == {request[-1] for request in written}
