import pytest

from stt_api.options import ListenOptions
from stt_api.recognition.channel import ChannelRecognizer
from stt_api.recognition.engine import Engine, load
from tests.unit.stt_api.recognition.test_channel import WORDS, hear, text


def test_an_engine_recognizes_utterance_after_utterance(recognition: Engine, sentence: bytes) -> None:
    recognizer = recognition.recognizer()
    for _ in range(2):
        recognizer.begin()
        recognizer.feed(sentence, speech=True)
        words = recognizer.final()
        assert " ".join(word.text for word in words) == WORDS
        assert all(word.end <= 5.3 for word in words)
    recognizer.begin()
    recognizer.close()
    recognizer.close()


def test_interims_come_no_more_often_when_there_is_no_time_for_them(recognition: Engine) -> None:
    recognizer = recognition.recognizer()
    for seconds in (0.3, 3.0, 12.0):
        assert 0.3 < recognizer.pause(seconds, behind=False) <= recognizer.pause(seconds, behind=True)


def test_each_engine_gives_the_samples_words(recognition: Engine, sentence: bytes) -> None:
    for options in (ListenOptions(), ListenOptions(recorded=True)):
        recognizer = ChannelRecognizer(recognition, options)
        found = [*hear(recognizer, sentence), *recognizer.finish(5.3)]
        assert " ".join(filter(None, map(text, found))) == WORDS


def test_an_engine_that_is_not_installed_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stt_api.recognition.moonshine.package_folder", lambda _engine: None)
    with pytest.raises(ModuleNotFoundError):
        load("moonshine", None)
