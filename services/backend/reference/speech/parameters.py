"""Every query parameter of the speech API: its values, where it applies, and what this platform does with it. Pure.

The two documents are made of this table, and a test compares it with what the embedded STT server reads.
"""

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]

FLAG: Final[Json] = {"type": "boolean", "default": False}
TEXT: Final[Json] = {"type": "string"}
_TEXTS: Final[Json] = {"type": "array", "items": {"type": "string"}}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `live`, `recorded`: where it has a meaning. `honoured`: False means a warning and no effect."""

    name: str
    text: str
    schema: Json = field(default_factory=lambda: TEXT)
    live: bool = True
    recorded: bool = True
    honoured: bool = True


def _recorded(name: str, text: str, schema: Json = TEXT) -> Parameter:
    return Parameter(name, text, schema, live=False)


def _live(name: str, text: str, schema: Json = TEXT) -> Parameter:
    return Parameter(name, text, schema, recorded=False)


def _whole(low: int, high: int, default: int | None = None) -> Json:
    found: Json = {"type": "integer", "minimum": low, "maximum": high}
    return found if default is None else found | {"default": default}


def _number(low: float, high: float, default: float | None = None) -> Json:
    found: Json = {"type": "number", "minimum": low, "maximum": high}
    return found if default is None else found | {"default": default}


_RAW: Final = "`linear16`, `linear32`, `mulaw`, `alaw`, or the name of a container or codec"
_SAME: Final = "Another name of `encoding`."

HONOURED: Final[tuple[Parameter, ...]] = (
    Parameter(
        "model",
        "Any name is taken and recorded in the usage. A server that has another model uses its own and says so in "
        "`warnings`; `model_info` names what was used.",
    ),
    Parameter("version", "As `model`: `latest`, or a version."),
    Parameter("language", "`en` or `en-…`. For another one English is recognized, with a warning.", TEXT),
    Parameter("lang", "Another name of `language`."),
    Parameter(
        "encoding",
        f"How the audio is coded: {_RAW}. Needed for raw samples alone; everything else is recognized by its first "
        "bytes.",
    ),
    Parameter("format", _SAME),
    Parameter("codec", _SAME),
    Parameter("container", "Taken; a container is recognized by its first bytes."),
    Parameter(
        "sample_rate",
        "Of raw samples, in Hz. Without `encoding` it means `linear16`.",
        _whole(8_000, 192_000, 16_000),
    ),
    Parameter("channels", "Of raw samples, and the places for the channels of a container.", _whole(1, 8, 1)),
    Parameter("multichannel", "Each channel is transcribed by itself, and billed.", FLAG),
    Parameter("punctuate", "Capitals and punctuation, and `punctuated_word` beside each `word`.", FLAG),
    Parameter(
        "smart_format",
        "`punctuate`, numbers from ten up as digits, and `paragraphs` of recorded audio. Dates, times, amounts and "
        "addresses stay as they were spoken.",
        FLAG,
    ),
    Parameter("numerals", "Whole numbers as digits: `905` for nine hundred and five. A lone `one` stays a word.", FLAG),
    Parameter("profanity_filter", "Swear words of a short English list as asterisks, one for each letter.", FLAG),
    Parameter(
        "replace",
        "`term:replacement`, or a term alone, which is removed; a term may be several words. Repeatable: at most 200.",
        _TEXTS,
    ),
    Parameter(
        "search",
        "Where these words are in the transcript, in `search` of the channel. The confidence of a hit is that of its "
        "words. Repeatable: at most 50.",
        _TEXTS,
    ),
    _recorded("paragraphs", "The transcript in paragraphs of sentences, and `punctuate`.", FLAG),
    _recorded("utterances", "What was said between pauses, in `results.utterances`.", FLAG),
    _recorded(
        "utt_split",
        "Seconds of a pause that separates two utterances.",
        {"type": "number", "minimum": 0.1, "maximum": 60, "default": 0.8},
    ),
    Parameter(
        "timestamps",
        "Taken; `words` with their times are in every response of `/v1/listen`. A header of `/transcribe`, too.",
        FLAG,
    ),
    _live("interim_results", "Results that may still change, while somebody speaks.", FLAG),
    _live(
        "endpointing",
        "Milliseconds of silence that end an utterance (`speech_final`), `true` for the default, `false` for never.",
        {"anyOf": [_whole(0, 10_000, 300), {"type": "boolean"}]},
    ),
    _live(
        "utterance_end_ms",
        "An `UtteranceEnd` after so many milliseconds without a word; `false` for none.",
        {"anyOf": [_whole(1_000, 5_000), {"const": False}]},
    ),
    _live("vad_events", "A `SpeechStarted` whenever somebody begins to speak.", FLAG),
    _live("no_delay", "Taken; words are sent as soon as they are known anyway.", FLAG),
    Parameter(
        "redact",
        "Refused with 400, unless it is `false`: these STT servers remove nothing, and what is to be redacted must not "
        "come back unredacted. Repeatable.",
        {"type": "array", "items": {"type": "string"}},
    ),
    _recorded("callback", "The result is sent to this URL instead. http or https, ports 80, 443, 8080 and 8443."),
    _recorded("callback_method", "How it is sent.", {"type": "string", "enum": ["POST", "PUT"], "default": "POST"}),
    _recorded("metadata", "Your own JSON or text, at most 4096 characters; it comes back as `callback_metadata`."),
    Parameter(
        "tag",
        "In the usage of this request. Repeatable: at most 16, each of at most 512 characters.",
        {"type": "array", "maxItems": 16, "items": {"type": "string", "maxLength": 512}},
    ),
    Parameter("extra", "Taken for compatibility, without effect.", _TEXTS),
    Parameter("mip_opt_out", "Taken; audio and transcripts are never kept for training.", FLAG),
)

# Known to the wire, and nothing that the STT servers of this platform do: a warning in the metadata says so.
WITHOUT_EFFECT: Final[tuple[str, ...]] = (
    "alternatives",
    "custom_intent",
    "custom_intent_mode",
    "custom_topic",
    "custom_topic_mode",
    "detect_entities",
    "detect_language",
    "detect_topics",
    "diarization",
    "diarize",
    "diarize_model",
    "dictation",
    "filler_words",
    "intents",
    "keyterm",
    "keywords",
    "measurements",
    "sentiment",
    "summarize",
    "topics",
    "translate",
)

PARAMETERS: Final[tuple[Parameter, ...]] = (
    *HONOURED,
    *(
        Parameter(name, "Has no effect on these STT servers; `warnings` of the metadata name it.", honoured=False)
        for name in WITHOUT_EFFECT
    ),
)

_OF_TURNS: Final = ("encoding", "sample_rate", "numerals", "profanity_filter", "tag", "extra", "mip_opt_out")
# The query of `/v2/listen`.
TURN_PARAMETERS: Final[tuple[Parameter, ...]] = (
    _live("model", "A name that begins with `flux-`; required.", {"type": "string", "pattern": "^flux-"}),
    _live("eot_threshold", "The confidence that ends a turn; at 1 only the timeout does.", _number(0.5, 1, 0.7)),
    _live("eager_eot_threshold", "The confidence that announces an end; not above `eot_threshold`.", _number(0.3, 0.9)),
    _live("eot_timeout_ms", "Milliseconds of silence that end a turn in any case.", _whole(500, 60_000, 5_000)),
    *(parameter for parameter in HONOURED if parameter.name in _OF_TURNS),
)


def openapi(parameter: Parameter) -> Json:
    """A parameter as an OpenAPI document has it: a list is the parameter repeated."""
    return {
        "name": parameter.name,
        "in": "query",
        "required": False,
        "description": parameter.text,
        "schema": parameter.schema,
    }


def asyncapi_query(parameters: tuple[Parameter, ...] = PARAMETERS) -> Json:
    """The query of a live stream as one schema (AsyncAPI's WebSocket channel binding)."""
    return {
        "type": "object",
        "properties": {found.name: {**found.schema, "description": found.text} for found in parameters if found.live},
    }
