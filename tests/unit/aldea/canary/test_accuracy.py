import pytest

from aldea.canary.accuracy import word_error_rate, words_of


def test_case_and_punctuation_do_not_count_as_errors() -> None:
    assert word_error_rate("Don\u2019t go, Anna!", "don't go anna") == 0.0


@pytest.mark.parametrize(
    ("hypothesis", "errors"),
    [
        ("one two three four", 0),
        ("one two tree four", 1),
        ("one two four", 1),
        ("one two three three four", 1),
        ("two one three four", 2),
        ("", 4),
        ("five six seven eight nine ten", 6),
    ],
)
def test_each_substitution_deletion_and_insertion_counts_once(hypothesis: str, errors: int) -> None:
    assert word_error_rate("One two three four.", hypothesis) == errors / 4


def test_a_reference_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="no words"):
        word_error_rate(" ... ", "something")


def test_underscores_and_quotes_separate_words() -> None:
    assert words_of("'snake_case' isn't") == ["snake", "case", "isn't"]
