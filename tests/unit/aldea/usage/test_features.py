"""What a query names of model and features."""

from aldea.usage.features import FEATURES, MAX_MODEL, requested
from aldea.usage.reading import MAX_FEATURES


def test_a_model_and_the_features_that_are_on_are_found() -> None:
    query = [("model", "nova-3"), ("smart_format", "true"), ("diarize", "false"), ("redact", "pci"), ("redact", "ssn")]
    assert requested(query) == ("nova-3", ("redact", "smart_format"))
    assert requested([("punctuate", "0"), ("numerals", ""), ("callback", "https://a.example/x"), ("tag", "a")]) == (
        "", ("callback",),
    )  # fmt: skip


def test_a_query_without_either_names_nothing() -> None:
    assert requested([("sesame", "open"), ("token", "secret")]) == ("", ())


def test_a_query_of_thousands_is_bounded() -> None:
    model, features = requested([("model", "x" * 5000), *((name, "1" * 9) for name in FEATURES for _ in range(50))])
    assert len(model) == MAX_MODEL
    assert set(features) == FEATURES
    assert len(features) <= MAX_FEATURES
