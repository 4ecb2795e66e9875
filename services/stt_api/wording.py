"""What becomes of recognized words before they are sent: replaced, masked, numbers as digits, in paragraphs. Pure.

Everything is made of the words themselves. What another recognizer knows (phonetic matches, topics) is not guessed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from multidict import MultiMapping

from aldea.errors import BadRequest
from stt_api.features import DIARIZATION, OFF
from stt_api.numerals import BELOW_TEN, ONE, numerals
from stt_api.profanity import masked
from stt_api.query import flag
from stt_api.recognition.events import Word

Json = dict[str, Any]

# The public API's own bounds: terms of a request.
MAX_SEARCHES: Final = 50
MAX_REPLACEMENTS: Final = 200
DEFAULT_SPLIT_SECONDS: Final = 0.8
SPLIT_SECONDS: Final = (0.1, 60.0)
# A paragraph ends with a sentence, and at a pause or after so many of them.
PARAGRAPH_PAUSE_SECONDS: Final = 1.5
PARAGRAPH_SENTENCES: Final = 5
_ENDS: Final = (".", "?", "!")
_TRAILING: Final = ".,;:?!"
# Speakers are not distinguished: whoever speaks on a channel is the first.
SPEAKER: Final[Json] = {"speaker": 0}


@dataclass(frozen=True, slots=True)
class Wording:
    """What a caller requests of the words. `replacements`: words to find, and the text in their place ("": none).

    `digits`: numbers as digits, all but lone ones of the words `spelled`. `speakers`: words name their speaker.
    `split_seconds`: the pause that separates two utterances; None without `utterances`.
    """

    digits: bool = False
    spelled: frozenset[str] = ONE
    masked: bool = False
    speakers: bool = False
    replacements: tuple[tuple[tuple[str, ...], str], ...] = ()
    searches: tuple[str, ...] = ()
    paragraphs: bool = False
    split_seconds: float | None = None

    def applied(self, words: Sequence[Word]) -> tuple[Word, ...]:
        """The words as they are sent."""
        found = _replaced(words, self.replacements) if self.replacements else tuple(words)
        found = masked(found) if self.masked else found
        return numerals(found, spelled=self.spelled) if self.digits else found


def wording(query: MultiMapping[str]) -> Wording:
    """What a query requests of the words. Raises BadRequest, naming the parameter."""
    smart, digits = flag(query, "smart_format"), flag(query, "numerals")
    return Wording(
        digits=digits or smart,
        spelled=ONE if digits else BELOW_TEN if smart else ONE,
        masked=flag(query, "profanity_filter"),
        speakers=any(query.get(name, "").strip().lower() not in OFF for name in DIARIZATION),
        replacements=tuple(_replacement(text) for text in _few(query, "replace", MAX_REPLACEMENTS)),
        searches=tuple(_few(query, "search", MAX_SEARCHES)),
        paragraphs=flag(query, "paragraphs") or smart,
        split_seconds=_split(query) if flag(query, "utterances") else None,
    )


def search(words: Sequence[Word], queries: Sequence[str]) -> list[Json]:
    """Where the words of each query are in the transcript. The confidence of a hit is that of its words."""
    return [{"query": query, "hits": [_hit(found) for found in _places(words, _terms(query))]} for query in queries]


def paragraphs(words: Sequence[Word], *, punctuate: bool, speakers: bool = False) -> Json:
    """The transcript in paragraphs of sentences. `speakers`: each names its speaker."""
    found = [
        _paragraph(sentences, punctuate=punctuate) | (SPEAKER if speakers else {})
        for sentences in _grouped(_sentences(words))
    ]
    texts = [" ".join(sentence["text"] for sentence in paragraph["sentences"]) for paragraph in found]
    return {"transcript": "".join(f"\n{text}\n" for text in texts), "paragraphs": found}


def utterances(words: Sequence[Word], split_seconds: float) -> Iterator[Sequence[Word]]:
    """The words between pauses of at least so many seconds."""
    begin = 0
    for place in range(1, len(words)):
        if words[place].start - words[place - 1].end >= split_seconds:
            yield words[begin:place]
            begin = place
    if words:
        yield words[begin:]


def text_of(words: Sequence[Word], *, punctuate: bool) -> str:
    """The words as a line."""
    return " ".join((word.written or word.text) if punctuate else word.text for word in words)


def mean_confidence(words: Sequence[Word]) -> float:
    """0 without words."""
    return round(sum(word.confidence for word in words) / len(words), 4) if words else 0.0


def _few(query: MultiMapping[str], name: str, most: int) -> list[str]:
    found = [text for text in query.getall(name, []) if text.strip()]
    if len(found) > most:
        raise BadRequest(f"{name}: got {len(found)} of them, at most {most} are allowed. Send fewer.")
    return found


def _replacement(text: str) -> tuple[tuple[str, ...], str]:
    term, _, instead = text.partition(":")
    terms = _terms(term)
    if not terms:
        raise BadRequest(f"replace: got {text!r:.40}, allowed: term:replacement, or a term alone, which removes it.")
    return terms, instead.strip()


def _split(query: MultiMapping[str]) -> float:
    got = query.get("utt_split", "")
    if not got:
        return DEFAULT_SPLIT_SECONDS
    whole, point, part = got.partition(".")
    # Digits alone: float() would also take "nan", "1_0" and digits of other scripts.
    digits = len(got) <= 9 and (whole + part).isascii() and (whole + part).isdigit() and (not point or bool(part))
    if not digits or not SPLIT_SECONDS[0] <= float(got) <= SPLIT_SECONDS[1]:
        raise BadRequest(
            f"utt_split: got {got!r:.40}, allowed: seconds from {SPLIT_SECONDS[0]:g} to {SPLIT_SECONDS[1]:g}."
        )
    return float(got)


def _terms(text: str) -> tuple[str, ...]:
    return tuple(term for part in text.lower().split() if (term := part.strip(_TRAILING + "\"'")))


def _places(words: Sequence[Word], terms: Sequence[str]) -> Iterator[Sequence[Word]]:
    """Each place where the terms are, one after another; places do not overlap."""
    begin = 0
    while terms and begin + len(terms) <= len(words):
        found = words[begin : begin + len(terms)]
        if all(word.text == term for word, term in zip(found, terms, strict=True)):
            yield found
            begin += len(terms)
        else:
            begin += 1


def _hit(words: Sequence[Word]) -> Json:
    return {
        "confidence": mean_confidence(words),
        "start": words[0].start,
        "end": words[-1].end,
        "snippet": text_of(words, punctuate=False),
    }


def _replaced(words: Sequence[Word], replacements: Sequence[tuple[tuple[str, ...], str]]) -> tuple[Word, ...]:
    found: list[Word] = []
    begin = 0
    while begin < len(words):
        for terms, instead in replacements:
            taken = words[begin : begin + len(terms)]
            if len(taken) == len(terms) and all(w.text == term for w, term in zip(taken, terms, strict=True)):
                found += _instead(taken, instead)
                begin += len(terms)
                break
        else:
            found.append(words[begin])
            begin += 1
    return tuple(found)


def _instead(taken: Sequence[Word], instead: str) -> list[Word]:
    """The replacement's words over the time of those taken; what ended the last of them ends it too."""
    texts = instead.split()
    if not texts:
        return []
    begin, end = taken[0].start, taken[-1].end
    step = (end - begin) / len(texts)
    confidence = mean_confidence(taken)
    last = taken[-1].written
    mark = last[len(last.rstrip(_TRAILING)) :]
    return [
        replace(
            taken[0],
            text=text,
            start=round(begin + place * step, 3),
            end=end if place == len(texts) - 1 else round(begin + (place + 1) * step, 3),
            confidence=confidence,
            written=text + (mark if place == len(texts) - 1 else ""),
        )
        for place, text in enumerate(texts)
    ]


def _sentences(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    begin = 0
    for place, word in enumerate(words):
        if word.written.endswith(_ENDS) or place == len(words) - 1:
            yield words[begin : place + 1]
            begin = place + 1


def _grouped(sentences: Iterator[Sequence[Word]]) -> list[list[Sequence[Word]]]:
    found: list[list[Sequence[Word]]] = []
    for sentence in sentences:
        last = found[-1] if found else []
        paused = bool(last) and sentence[0].start - last[-1][-1].end >= PARAGRAPH_PAUSE_SECONDS
        if not last or paused or len(last) == PARAGRAPH_SENTENCES:
            found.append([])
        found[-1].append(sentence)
    return found


def _paragraph(sentences: Sequence[Sequence[Word]], *, punctuate: bool) -> Json:
    return {
        "sentences": [
            {"text": text_of(words, punctuate=punctuate), "start": words[0].start, "end": words[-1].end}
            for words in sentences
        ],
        "num_words": sum(map(len, sentences)),
        "start": sentences[0][0].start,
        "end": sentences[-1][-1].end,
    }
