import uuid

from aldea.ids import new_request_id, started_ms


def test_an_id_is_a_version_7_uuid_that_carries_its_time() -> None:
    found = uuid.UUID(new_request_id(now_ms=1_700_000_000_123))
    assert found.version == 7
    assert found.variant == uuid.RFC_4122
    assert started_ms(str(found)) == 1_700_000_000_123


def test_ids_of_later_milliseconds_sort_later_and_none_repeats() -> None:
    assert new_request_id(now_ms=1000) < new_request_id(now_ms=1001)
    assert len({new_request_id() for _ in range(1000)}) == 1000
