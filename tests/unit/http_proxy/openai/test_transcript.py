"""Transcripts in OpenAI's formats."""

import json
from typing import Any

import pytest

from http_proxy.openai.options import read_options
from http_proxy.openai.transcript import Transcript, Unreadable, events, read_transcript, segments, written


def word(text: str, start: float) -> dict[str, Any]:
    return {"word": text.lower().strip("."), "punctuated_word": text, "start": start, "end": start + 0.4,
            "confidence": 0.9}  # fmt: skip


WORDS = [word("The", 0.0), word("end.", 0.5), word("A", 3600.0), word("pause", 3602.25)]
BODY = json.dumps(
    {
        "metadata": {"duration": 3603.1, "channels": 1},
        "results": {"channels": [{"alternatives": [{"transcript": "The end. A pause", "words": WORDS}]}]},
    }
).encode()


def as_format(name: str, **fields: list[str]) -> str:
    return written(read_transcript(BODY), read_options({"response_format": [name], **fields}))


def test_json_and_text() -> None:
    assert json.loads(as_format("json")) == {
        "text": "The end. A pause", "usage": {"type": "duration", "seconds": 3604}
    }  # fmt: skip
    assert as_format("text") == "The end. A pause\n"


def test_captions_have_a_cue_for_each_segment() -> None:
    assert as_format("srt") == (
        "1\n00:00:00,000 --> 00:00:00,900\nThe end.\n\n"
        "2\n01:00:00,000 --> 01:00:00,400\nA\n\n"
        "3\n01:00:02,250 --> 01:00:02,650\npause\n\n"
    )
    assert as_format("vtt").startswith("WEBVTT\n\n00:00:00.000 --> 00:00:00.900\nThe end.\n\n")


def test_verbose_json_lists_what_was_requested() -> None:
    found = json.loads(as_format("verbose_json"))
    assert [one["text"] for one in found["segments"]] == [" The end.", " A", " pause"]
    assert "words" not in found
    found = json.loads(as_format("verbose_json", **{"timestamp_granularities[]": ["word"]}))
    assert found["words"][1] == {"word": "end.", "start": 0.5, "end": 0.9}
    assert "segments" not in found
    assert (found["duration"], found["language"]) == (3603.1, "english")


def test_a_stream_is_deltas_that_add_up_to_the_whole() -> None:
    found = [json.loads(event.removeprefix("data: ")) for event in events(read_transcript(BODY))]
    assert "".join(one["delta"] for one in found[:-1]) == found[-1]["text"] == "The end. A pause"
    assert found[-1]["type"] == "transcript.text.done"


def test_silence_has_no_segments() -> None:
    silence = Transcript("", 1.0, ())
    assert segments(silence) == []
    assert written(silence, read_options({"response_format": ["vtt"]})) == "WEBVTT\n\n"
    assert len(list(events(silence))) == 1


def test_a_long_sentence_is_cut_to_what_a_caption_holds() -> None:
    words = tuple(read_transcript(BODY).words[0] for _ in range(100))
    assert all(len(" ".join(one.text for one in part)) <= 84 for part in segments(Transcript("", 1.0, words)))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"results": {"channels": [{}]}}', b"\xff"])
def test_what_is_no_response_of_listen_is_refused(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_transcript(body)
