import random

from hypothesis import given
from hypothesis import strategies as st

from aldea.ids import new_request_id
from aldea.usage import Rank, UsageReading
from aldea.usage_batch import Stamped
from sqs_updater.merge import reduce_batch
from tests.readings import reading


class Store:
    """The rule of the house in its simplest form: a reading replaces the stored one iff its order is greater."""

    def __init__(self) -> None:
        self.rows: dict[str, UsageReading] = {}
        self.total_ms = 0

    def merge(self, batch: list[UsageReading]) -> None:
        for one in batch:
            old = self.rows.get(one.request_id)
            if old is None or one.order > old.order:
                self.total_ms += one.audio_ms - (old.audio_ms if old else 0)
                self.rows[one.request_id] = one


@st.composite
def histories(draw: st.DrawFn) -> list[list[UsageReading]]:
    """For each request all that was ever written: openings, checkpoints, perhaps incomplete, at last the final."""
    found = []
    for _ in range(draw(st.integers(1, 5))):
        request_id = new_request_id()
        seqs = draw(st.lists(st.integers(1, 30), min_size=1, max_size=6, unique=True).map(sorted))
        written = [reading(request_id=request_id, seq=seq, audio_ms=seq * 1000) for seq in seqs]
        if draw(st.booleans()):
            # Given up after its last checkpoint, or too early, when it was only cut off.
            seq = draw(st.sampled_from(seqs))
            written.append(reading(request_id=request_id, rank=Rank.INCOMPLETE, seq=seq, audio_ms=seq * 1000))
        # A correction may go down, and its seq may be lower than a checkpoint's.
        final = draw(st.integers(0, 40_000))
        written.append(reading(request_id=request_id, rank=Rank.FINAL, seq=draw(st.integers(1, 40)), audio_ms=final))
        found.append(written)
    return found


@given(histories(), st.randoms(use_true_random=False))
def test_any_order_duplication_and_loss_of_checkpoints_is_the_same_bill(
    written: list[list[UsageReading]], rng: random.Random
) -> None:
    deliveries = []
    for request in written:
        checkpoints, final = request[:-1], request[-1]
        arrived = [one for one in checkpoints if rng.random() < 0.7]
        arrived += [one for one in arrived if rng.random() < 0.3]
        deliveries += [*arrived, final, *([final] if rng.random() < 0.5 else [])]
    rng.shuffle(deliveries)
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
