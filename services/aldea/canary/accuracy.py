"""Word error rate: how far recognised words are from the true text."""

import re
from typing import Final

# A word is letters and digits, with apostrophes inside it ("don't"); case and punctuation do not count.
_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


def words_of(text: str) -> list[str]:
    """The words of `text` in lower case, without punctuation."""
    return [word.replace("\u2019", "'") for word in _WORD.findall(text.lower())]


def word_error_rate(reference: str, hypothesis: str) -> float:
    """Substitutions, deletions and insertions per word of `reference`: 0.0 is perfect, above 1.0 is possible.

    Raises ValueError if `reference` has no words.
    """
    expected, got = words_of(reference), words_of(hypothesis)
    if not expected:
        raise ValueError("the reference text has no words, so a rate per word has no meaning: give the true text")
    # Levenshtein's distance over words, one row at a time.
    row = list(range(len(got) + 1))
    for count, word in enumerate(expected, start=1):
        diagonal, row[0] = row[0], count
        for column, other in enumerate(got, start=1):
            best = min(row[column] + 1, row[column - 1] + 1, diagonal + (word != other))
            diagonal, row[column] = row[column], best
    return row[-1] / len(expected)
