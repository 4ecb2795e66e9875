"""Which model and features a request names in its query, as its usage reading records them. Pure."""

from collections.abc import Iterable
from typing import Final

# The public API's names of what its usage can be narrowed down to. Anything else of a query is not recorded, so a
# reading holds each of these once at most.
FEATURES: Final = frozenset(
    {
        *("alternatives", "analyze_sentiment", "callback", "callback_method", "channels", "custom_intent"),
        *("custom_intent_mode", "custom_topic", "custom_topic_mode", "detect_entities", "detect_language"),
        *("detect_topics", "diarize", "dictation", "encoding", "extra", "filler_words", "intents", "interim_results"),
        *("keyterm", "keywords", "language", "measurements", "multichannel", "ner", "numbers", "numerals"),
        *("paragraphs", "profanity_filter", "punctuate", "redact", "replace", "sample_rate", "search", "sentiment"),
        *("smart_format", "summarize", "topics", "translate", "utt_split", "utterances", "version"),
    }
)
# Names of models are shorter; what follows could not distinguish two of them.
MAX_MODEL: Final = 100
_OFF: Final = frozenset({"", "false", "0"})


def requested(query: Iterable[tuple[str, str]]) -> tuple[str, tuple[str, ...]]:
    """The model, "" for none, and the features in alphabetical order, from the decoded pairs of a query."""
    model, found = "", set()
    for name, value in query:
        if name == "model":
            model = value
        elif name in FEATURES and value.lower() not in _OFF:
            found.add(name)
    return model[:MAX_MODEL], tuple(sorted(found))
