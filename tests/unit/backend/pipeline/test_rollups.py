from uuid import UUID

from backend.pipeline.rollups import Difference
from tests.readings import KEY, PROJECT


def test_a_difference_names_only_the_sums_that_differ() -> None:
    one = Difference(UUID(PROJECT), UUID(KEY), "streaming", "/v1/listen", [1, 2, 3, 4, 5, 6], [1, 9, 3, 4, 5, 6])
    assert str(one) == f"project {PROJECT} key {KEY} streaming /v1/listen: audio_ms 2 → 9"


def test_a_difference_as_an_object_names_every_sum() -> None:
    one = Difference(
        UUID(PROJECT), UUID(KEY), "streaming", "/v1/listen", [1, 2, 3, 4, 5, 6], [1, 9, 3, 4, 5, 6]
    ).to_object()
    assert one["stored"] == {
        "requests": 1, "audio_ms": 2, "connection_ms": 3, "bytes_in": 4, "bytes_out": 5, "charge_micros": 6
    }  # fmt: skip
    assert one["recomputed"]["audio_ms"] == 9
    assert one["project_id"] == PROJECT
