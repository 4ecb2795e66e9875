"""The wire's JSON shapes, made from what the recogniser says. Performs no I/O."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from stt_api.model import Model
from stt_api.recognition.events import SpeechStarted, Transcript, UtteranceEnd, Word

Json = dict[str, Any]


def now() -> str:
    """The present as the wire writes it: UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def metadata_fields(
    *,
    model: Model,
    request_id: str,
    sha256: str,
    created: str,
    duration: float,
    channels: int,
    warnings: Sequence[Json] = (),
) -> Json:
    """The fields that the live Metadata and the recorded response's `metadata` share. `duration` in seconds.

    `warnings`: what was requested and not done (stt_api.features); the field is there only if there are any.
    """
    fields: Json = {
        "transaction_key": "deprecated",
        "request_id": request_id,
        "sha256": sha256,
        "created": created,
        "duration": duration,
        "channels": channels,
        "models": [model.uuid],
        "model_info": {model.uuid: model.info},
    }
    if warnings:
        fields["warnings"] = list(warnings)
    return fields


def results(transcript: Transcript, request_id: str, model: Model, *, punctuate: bool = False) -> Json:
    """The live Results message."""
    return {
        "type": "Results",
        "channel_index": [transcript.channel, transcript.channels],
        "duration": round(transcript.end - transcript.start, 6),
        "start": transcript.start,
        "is_final": transcript.final,
        "speech_final": transcript.speech_final,
        "from_finalize": transcript.from_finalize,
        "channel": {"alternatives": [alternative([transcript], punctuate=punctuate)]},
        "metadata": {"request_id": request_id, "model_info": model.info, "model_uuid": model.uuid},
    }


def speech_started(event: SpeechStarted) -> Json:
    """The SpeechStarted message."""
    return {"type": "SpeechStarted", "channel": [event.channel, event.channels], "timestamp": event.at}


def utterance_end(event: UtteranceEnd) -> Json:
    """The UtteranceEnd message."""
    return {
        "type": "UtteranceEnd",
        "channel": [event.channel, event.channels],
        "last_word_end": event.last_word_end,
    }


def alternative(transcripts: Sequence[Transcript], *, punctuate: bool = False) -> Json:
    """One alternative: the words of these transcripts in order, and the mean of their confidences."""
    words = [_word(word, punctuate=punctuate) for transcript in transcripts for word in transcript.words]
    confidence = sum(word["confidence"] for word in words) / len(words) if words else 0.0
    return {
        "transcript": " ".join(str(word.get("punctuated_word", word["word"])) for word in words),
        "confidence": round(confidence, 4),
        "words": words,
    }


def recorded(transcripts: Sequence[Transcript], metadata: Json, channels: int, *, punctuate: bool) -> Json:
    """The response for recorded audio, from its final transcripts. Captions are made of its words."""
    by_channel = [[found for found in transcripts if found.channel == channel] for channel in range(channels)]
    return {
        "metadata": metadata,
        "results": {"channels": [{"alternatives": [alternative(found, punctuate=punctuate)]} for found in by_channel]},
    }


def _word(word: Word, *, punctuate: bool) -> Json:
    found: Json = {"word": word.text, "start": word.start, "end": word.end, "confidence": word.confidence}
    if punctuate:
        found["punctuated_word"] = word.written or word.text
    return found
