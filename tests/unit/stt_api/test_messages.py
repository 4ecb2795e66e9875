from stt_api import messages
from stt_api.model import Model
from stt_api.recognition.events import SpeechStarted, Transcript, UtteranceEnd, Word
from stt_api.wording import Wording

MODEL = Model("moonshine", "moonshine-tiny-en", "0.0.73")
WORDS = (Word("i", 1.0, 1.1, 0.5, "I"), Word("think", 1.1, 1.5, 1.0), Word("i'm", 1.5, 1.7, 0.9, "I'm."))
HEARD = Transcript(channel=0, channels=2, start=0.75, end=2.0, words=WORDS, final=True, speech_final=True)


def test_results_have_the_contracts_shape() -> None:
    message = messages.results(HEARD, "id-1", MODEL)
    assert message == {
        "type": "Results",
        "channel_index": [0, 2],
        "duration": 1.25,
        "start": 0.75,
        "is_final": True,
        "speech_final": True,
        "from_finalize": False,
        "channel": {
            "alternatives": [
                {
                    "transcript": "i think i'm",
                    "confidence": 0.8,
                    "words": [
                        {"word": "i", "start": 1.0, "end": 1.1, "confidence": 0.5},
                        {"word": "think", "start": 1.1, "end": 1.5, "confidence": 1.0},
                        {"word": "i'm", "start": 1.5, "end": 1.7, "confidence": 0.9},
                    ],
                }
            ]
        },
        "metadata": {"request_id": "id-1", "model_info": MODEL.info, "model_uuid": MODEL.uuid},
    }


def test_punctuation_is_shown_beside_the_bare_word() -> None:
    (alternative,) = messages.results(HEARD, "id-1", MODEL, punctuate=True)["channel"]["alternatives"]
    assert alternative["transcript"] == "I think I'm."
    assert [word["punctuated_word"] for word in alternative["words"]] == ["I", "think", "I'm."]
    assert [word["word"] for word in alternative["words"]] == ["i", "think", "i'm"]


def test_with_diarization_all_that_is_said_has_the_only_speaker() -> None:
    wording = Wording(speakers=True, paragraphs=True, split_seconds=0.8)
    response = messages.recorded([HEARD], {}, 1, punctuate=True, wording=wording)
    [alternative] = response["results"]["channels"][0]["alternatives"]
    [utterance] = response["results"]["utterances"]
    places = [*alternative["words"], *alternative["paragraphs"]["paragraphs"], utterance, *utterance["words"]]
    assert [place["speaker"] for place in places] == [0] * 8


def test_silence_is_an_empty_alternative() -> None:
    silence = Transcript(channel=0, channels=1, start=0.0, end=5.0, final=True)
    assert messages.alternative([silence]) == {"transcript": "", "confidence": 0.0, "words": []}


def test_metadata_names_the_model_and_the_audio() -> None:
    message = messages.metadata_fields(
        model=MODEL, request_id="id-1", sha256="ab", created="now", duration=1.5, channels=1
    )
    assert "warnings" not in message
    assert message["transaction_key"] == "deprecated"
    assert message["models"] == [MODEL.uuid]
    assert message["model_info"] == {MODEL.uuid: MODEL.info}
    assert (message["duration"], message["channels"]) == (1.5, 1)


def test_events_of_speech_name_their_channel() -> None:
    assert messages.speech_started(SpeechStarted(channel=1, channels=2, at=0.5)) == {
        "type": "SpeechStarted",
        "channel": [1, 2],
        "timestamp": 0.5,
    }
    assert messages.utterance_end(UtteranceEnd(channel=0, channels=1, last_word_end=2.5)) == {
        "type": "UtteranceEnd",
        "channel": [0, 1],
        "last_word_end": 2.5,
    }


def test_a_recorded_response_joins_the_transcripts_of_each_channel() -> None:
    other = Transcript(channel=1, channels=2, start=0.0, end=2.0, words=(Word("hello", 0.0, 0.5, 1.0),), final=True)
    response = messages.recorded([HEARD, other, HEARD], {"duration": 2.0}, 2, punctuate=False)
    first, second = (channel["alternatives"][0] for channel in response["results"]["channels"])
    assert first["transcript"] == "i think i'm i think i'm"
    assert second["words"] == [{"word": "hello", "start": 0.0, "end": 0.5, "confidence": 1.0}]
    assert (second["transcript"], second["confidence"]) == ("hello", 1.0)
    assert response["metadata"] == {"duration": 2.0}


def test_times_are_utc_with_milliseconds() -> None:
    text = messages.now()
    assert text.endswith("Z")
    assert len(text) == len("2026-01-31T12:34:56.789Z")
