"""What callers request and this STT server cannot do: they get a warning in the metadata, or a refusal.

The shape of a warning is the public API's: parameter, type, message.
"""

from collections.abc import Collection
from typing import Any, Final

from multidict import MultiMapping

from aldea.errors import BadRequest
from stt_api.model import Model

# What `stt_api.query` and the handlers use, what the proxies use, and what requests only what is so anyway.
EFFECTIVE: Final = frozenset(
    {
        *("numerals", "profanity_filter", "replace", "search", "paragraphs", "utterances", "utt_split"),
        *("encoding", "format", "codec", "sample_rate", "channels", "multichannel", "container"),
        *(
            "interim_results",
            "endpointing",
            "utterance_end_ms",
            "vad_events",
            "smart_format",
            "punctuate",
            "timestamps",
        ),
        *("callback", "callback_method", "metadata", "tag", "extra", "mip_opt_out", "no_delay", "redact"),
    }
)
# Of these, what has no effect on a live stream: there is no whole to divide.
OF_RECORDED_AUDIO: Final = frozenset({"paragraphs", "utterances", "utt_split"})
# By any name: the text's privacy would depend on it.
_REDACTION: Final = frozenset({"redact", "redact[]", "redaction", "redact_pii", "pii_redaction"})
OFF: Final = frozenset({"", "false", "0", "none", "no", "off"})
# Words get a speaker then, since clients count on it; a warning says that it is always the same.
DIARIZATION: Final = ("diarize", "diarization", "diarize_model")
# A query can name thousands of parameters, at any length.
MAX_WARNINGS: Final = 20
_MAX_NAME: Final = 40


def warnings(query: MultiMapping[str], model: Model, *, effective: Collection[str] = EFFECTIVE) -> list[dict[str, Any]]:
    """A warning for each parameter that has no effect here. Raises BadRequest for redaction.

    `effective`: the parameters that have one.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, value in query.items():
        if name.lower() in _REDACTION and value.strip().lower() not in OFF:
            raise BadRequest(
                f"{name}: this server cannot remove anything from a transcript; it would come back unredacted. Leave "
                "the parameter out if that is acceptable."
            )
        if name not in found and (warning := _warning(name, value, model, effective)) is not None:
            found[name] = warning
    return list(found.values())[:MAX_WARNINGS]


def _warning(name: str, value: str, used: Model, effective: Collection[str]) -> dict[str, Any] | None:
    wanted = value.strip().lower()
    if name in effective or name.lower() in _REDACTION or wanted in OFF:
        return None
    model = used.name
    if name == "model":
        return (
            None if wanted == model else _made(name, "unsupported_model", f"{value:.40} is not here; {model} was used.")
        )
    if name == "version":
        return None if wanted in {"latest", used.version} else _made(name, "unsupported_model", f"{model} was used.")
    if name in {"language", "lang"}:
        english = wanted == "en" or wanted.startswith(("en-", "en_"))
        return (
            None
            if english
            else _made(name, "unsupported_language", f"{value:.40} is not here; English was recognized.")
        )
    if name == "alternatives" and wanted == "1":
        return None
    if name in DIARIZATION:
        text = f"{model} does not distinguish speakers; all words of a channel have speaker 0."
        return _made(name, "unsupported_model", text)
    return _made(name, "unsupported_model", f"{model} does not know this parameter; it had no effect.")


def _made(name: str, kind: str, text: str) -> dict[str, Any]:
    return {"parameter": name[:_MAX_NAME], "type": kind, "message": f"{name[:_MAX_NAME]}: {text}"}
