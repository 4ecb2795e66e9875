"""Swear words as asterisks, one for each letter. Pure.

A list of English words and no more: it has neither what is offensive in some contexts alone nor other spellings.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from stt_api.recognition.events import Word

_STEMS: Final = (
    "arse", "arsehole", "asshole", "bastard", "bitch", "bollocks", "bullshit", "cocksucker", "cunt", "dickhead",
    "dipshit", "douchebag", "dumbass", "faggot", "fuck", "horseshit", "kike", "motherfuck", "nigger", "shit",
    "shithead", "slut", "twat", "wank", "whore",
)  # fmt: skip
# With the endings that make plurals, verbs and adjectives of them; "shit" doubles its last letter.
_WORD: Final = re.compile(rf"(?:{'|'.join(_STEMS)})(?:'s|e?s|t?(?:ed|er|ers|ing|ings|in|y)|face|heads?)?", re.ASCII)
_ALSO: Final = frozenset({"ass", "asses", "goddamn", "goddamned"})
_LETTERS: Final = re.compile(r"\w")


def masked(words: Sequence[Word]) -> tuple[Word, ...]:
    """The words, each letter of a swear word as an asterisk; what is around its letters stays."""
    return tuple(_masked(word) if word.text in _ALSO or _WORD.fullmatch(word.text) else word for word in words)


def _masked(word: Word) -> Word:
    return replace(word, text=_LETTERS.sub("*", word.text), written=_LETTERS.sub("*", word.written))
