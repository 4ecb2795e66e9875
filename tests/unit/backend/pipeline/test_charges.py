from uuid import UUID

from backend.pipeline.charges import WrongCharge
from tests.readings import KEY, PROJECT

WRONG = WrongCharge(UUID(KEY), UUID(PROJECT), 3, 1000, 7, 100)


def test_a_wrong_charge_names_its_request_its_price_and_what_it_is_repaired_to() -> None:
    assert str(WRONG) == f"project {PROJECT} request {KEY} price 3: charge_micros 7 → 100"


def test_a_wrong_charge_as_an_object_has_all_of_it() -> None:
    assert WRONG.to_object() == {
        "request_id": KEY, "project_id": PROJECT, "price_id": 3, "audio_ms": 1000, "stored": 7, "recomputed": 100
    }  # fmt: skip
