"""The wire's JSON shapes, made from what the recogniser says. Performs no I/O."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from stt_api.model import Model
from stt_api.recognition.events import SpeechStarted, Transcript, UtteranceEnd, Word
from stt_api.wording import SPEAKER, Wording, mean_confidence, paragraphs, search, text_of, utterances

Json = dict[str, Any]

PLAIN: Final = Wording()


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


def results(
    transcript: Transcript, request_id: str, model: Model, *, punctuate: bool = False, wording: Wording = PLAIN
) -> Json:
    """The live Results message."""
    return {
        "type": "Results",
        "channel_index": [transcript.channel, transcript.channels],
        "duration": round(transcript.end - transcript.start, 6),
        "start": transcript.start,
        "is_final": transcript.final,
        "speech_final": transcript.speech_final,
        "from_finalize": transcript.from_finalize,
        "channel": _channel([transcript], punctuate=punctuate, wording=wording),
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


def alternative(transcripts: Sequence[Transcript], *, punctuate: bool = False, wording: Wording = PLAIN) -> Json:
    """One alternative: the words of these transcripts in order, and the mean of their confidences."""
    words = wording.applied([word for transcript in transcripts for word in transcript.words])
    found: Json = {
        "transcript": text_of(words, punctuate=punctuate),
        "confidence": mean_confidence(words),
        "words": [_word(word, punctuate=punctuate, speakers=wording.speakers) for word in words],
    }
    if wording.paragraphs and words:
        found["paragraphs"] = paragraphs(words, punctuate=punctuate, speakers=wording.speakers)
    return found


def recorded(
    transcripts: Sequence[Transcript], metadata: Json, channels: int, *, punctuate: bool, wording: Wording = PLAIN
) -> Json:
    """The response for recorded audio, from its final transcripts. Captions are made of its words."""
    by_channel = [[found for found in transcripts if found.channel == channel] for channel in range(channels)]
    results: Json = {"channels": [_channel(found, punctuate=punctuate, wording=wording) for found in by_channel]}
    if wording.split_seconds is not None:
        said = [
            _utterance(channel, words, punctuate=punctuate, speakers=wording.speakers)
            for channel, found in enumerate(by_channel)
            for words in utterances(
                wording.applied([word for transcript in found for word in transcript.words]), wording.split_seconds
            )
        ]
        results["utterances"] = sorted(said, key=lambda found: (found["start"], found["channel"]))
    return {"metadata": metadata, "results": results}


def _channel(transcripts: Sequence[Transcript], *, punctuate: bool, wording: Wording) -> Json:
    found: Json = {"alternatives": [alternative(transcripts, punctuate=punctuate, wording=wording)]}
    if wording.searches:
        # In what was said, not in what replaces it.
        said = [word for transcript in transcripts for word in transcript.words]
        found["search"] = search(said, wording.searches)
    return found


def _utterance(channel: int, words: Sequence[Word], *, punctuate: bool, speakers: bool) -> Json:
    found: Json = {
        "start": words[0].start,
        "end": words[-1].end,
        "confidence": mean_confidence(words),
        "channel": channel,
        "transcript": text_of(words, punctuate=punctuate),
        "words": [_word(word, punctuate=punctuate, speakers=speakers) for word in words],
        "id": str(uuid.uuid4()),
    }
    return found | SPEAKER if speakers else found


def _word(word: Word, *, punctuate: bool, speakers: bool) -> Json:
    found: Json = {"word": word.text, "start": word.start, "end": word.end, "confidence": word.confidence}
    if punctuate:
        found["punctuated_word"] = word.written or word.text
    return found | SPEAKER if speakers else found
