"""Passwords that are guessed first: common ones, and those made of what is known of their owner. Pure.

A password is split into the parts that a guesser would try: common words, also reversed or spelled with digits for
letters, keys in a row, repetitions, years, and what belongs to the account (name, address, project, product). Each
part costs a guesser little whatever its length; what is left costs by the character. Below a sum it is refused. NIST SP
800-63B section 5.1.1.2 requires the comparison and advises against rules of composition, so there are none of those.

`common_words.txt` is maintained manually: what published lists of leaked passwords are made of, without its endings.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

PRODUCT: Final = ("aldea", "aldeaai")

# What parts cost. A word from a list of two thousand counts as two letters of somebody's own.
_WORD, _KNOWN, _ROW, _LETTER, _SIGN = 20, 5, 5, 10, 3
# Below it a password is weak: two common words with an ending are, a third word makes it a sentence.
_ENOUGH: Final = 50
# Different characters that a password has at least.
_FEWEST_DIFFERENT: Final = 5
# Shorter names are parts of too many words.
_SHORTEST_KNOWN: Final = 3
# What is looked at, in characters: what is strong is so long before, and the search takes milliseconds.
_LONGEST_FORM: Final = 80
_LONGEST_KNOWN: Final = 40
_SHORTEST_ROW: Final = 3

# Digits and signs that stand for letters; the digit one and the bar for two of them.
_SPELLINGS: Final = (
    str.maketrans("01345789@$!|+", "oleastbgasilt"),
    str.maketrans("01345789@$!|+", "oieastbgasiit"),
)
_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", "qwertzuiop", "yxcvbnm",
    "azertyuiop", "qsdfghjklm", "wxcvbn", "йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю", "`1234567890-=", "!@#$%^&*()_+",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/", "qazwsxedcrfvtgbyhnujmikolp", "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0", "!qaz@wsx#edc$rfv%tgb^yhn&ujm", "zaq12wsxcde34rfvbgt56yhnmju78ik,", "qweasdzxc",
    "qweasdzxcrtyfghvbn", "a1b2c3d4e5f6g7h8i9", "a1s2d3f4g5h6j7k8l9",
    "1a2s3d4f5g6h7j8k9l", "z1x2c3v4b5n6m7", "1a2b3c4d5e6f7g8h9i", "aabbccddeeffgghh", "00112233445566778899",
    "147258369", "159357", "102030405060708090", "123321", "3.14159265358979323846", "31415926535897932384",
)  # fmt: skip
_YEAR: Final = re.compile(r"(?:19|20)\d\d")
_SEPARATORS: Final = re.compile(r"[\W_]+")
# What is set between the parts of a password, by its category in Unicode: marks of punctuation, spaces, signs, what is
# invisible. Pictures (So) and the marks of scripts (M) are somebody's choice as letters are.
_BETWEEN: Final = frozenset({"Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sc", "Sk", "Sm", "Zl", "Zp", "Zs", "Cc", "Cf"})


def weakness(password: str, known: Iterable[str] = ()) -> str | None:
    """Why a password is too easy to guess, as a sentence; None if it is not. It is never repeated in it.

    `known`: what belongs to the account, as its address and its owner's name.
    """
    folded = _folded(password)
    if len(set(folded)) < _FEWEST_DIFFERENT:
        return (
            f"The password repeats a few characters: at least {_FEWEST_DIFFERENT} different ones are needed. {_ADVICE}"
        )
    own = frozenset(_parts([*known, *PRODUCT]))
    joined = "".join(character for character in folded if unicodedata.category(character) not in _BETWEEN)
    forms = {_unit(form)[:_LONGEST_FORM] for form in (folded, joined)}
    forms |= {form[::-1] for form in forms}
    if all(_cost(form, own) >= _ENOUGH for form in forms):
        return None
    if all(_cost(form, frozenset()) >= _ENOUGH for form in forms):
        return (
            f"The password is little more than your name, your e-mail address, your project or this product. {_ADVICE}"
        )
    return f"The password is one of those that are guessed first: common words, keys in a row, or digits. {_ADVICE}"


_ADVICE: Final = "Choose another, for example a sentence of several unrelated words."


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _unaccented(text: str) -> str:
    """The text without accents, and as long as before: what stands for a letter is read as that letter."""
    parts = ((letter, unicodedata.normalize("NFKD", letter)) for letter in text)
    return "".join(found[0] if unicodedata.combining(found[1:2] or " ") else letter for letter, found in parts)


def _parts(known: Iterable[str]) -> Iterator[str]:
    """What can be made of an account's texts: their words, and all of them together, in either order."""
    for text in known:
        for piece in _folded(text).split("@"):
            words = [word for word in _SEPARATORS.split(piece) if word]
            for part in (*words, "".join(words), "".join(reversed(words))):
                if _SHORTEST_KNOWN <= len(part) <= _LONGEST_KNOWN:
                    yield part


def _unit(text: str) -> str:
    """What a text is a repetition of; the text itself if of nothing."""
    length = (text + text).find(text, 1)
    return text[:length]


def _cost(text: str, own: frozenset[str]) -> int:
    """The least that a guesser pays for `text`: the cheapest way to split it, from its beginning on."""
    plain = _unaccented(text)
    spelled = {text, plain, *(plain.translate(spelling) for spelling in _SPELLINGS)}
    common, longest = _common()
    longest = max(longest, *(len(word) for word in own), 0) if own else longest
    least = [0] + [len(text) * _WORD] * len(text)
    for begin, character in enumerate(text):
        so_far = least[begin]
        single = _SIGN if character.isascii() and not character.isalpha() else _LETTER
        steps = [(1, single), *((length, _ROW) for length in _row_lengths(text, begin))]
        for length in range(_SHORTEST_KNOWN, min(longest, len(text) - begin) + 1):
            readings = {reading[begin : begin + length] for reading in spelled}
            if readings & own:
                steps.append((length, _KNOWN))
            elif readings & common:
                steps.append((length, _WORD))
        for length, cost in steps:
            least[begin + length] = min(least[begin + length], so_far + cost)
    return least[len(text)]


def _row_lengths(text: str, begin: int) -> Iterator[int]:
    """How long the years, repetitions and rows of keys are that begin there."""
    if _YEAR.match(text, begin):
        yield 4
    length = 1
    while text[begin : begin + length + 1] == text[begin] * (length + 1):
        length += 1
    if length >= _SHORTEST_ROW:
        yield from range(_SHORTEST_ROW, length + 1)
    for row in _rows():
        length = _SHORTEST_ROW
        while begin + length <= len(text) and text[begin : begin + length] in row:
            yield length
            length += 1


@cache
def _rows() -> tuple[str, ...]:
    return (*_ROWS, *(row[::-1] for row in _ROWS))


@cache
def _common() -> tuple[frozenset[str], int]:
    """The common words, and the length of the longest."""
    text = Path(__file__).with_name("common_words.txt").read_text(encoding="utf-8")
    words = frozenset(word for word in map(_folded, text.split()) if len(word) >= _SHORTEST_KNOWN)
    return words, max(map(len, words))
