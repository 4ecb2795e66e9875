"""The filters by feature are those that are recorded."""

from aldea.usage.features import FEATURES
from backend.usage.feature_filters import FeatureQuery


def test_whatever_is_recorded_can_be_filtered_by_and_nothing_else() -> None:
    assert set(FeatureQuery.model_fields) == FEATURES


def test_what_is_true_is_apart_from_what_is_false() -> None:
    query = FeatureQuery.model_validate({"diarize": "true", "redact": "false", "punctuate": True})
    assert query.used(True) == ("diarize", "punctuate")
    assert query.used(False) == ("redact",)
