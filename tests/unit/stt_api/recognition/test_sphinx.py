from pathlib import Path

import numpy as np
import pocketsphinx
import pytest

from stt_api.options import ListenOptions
from stt_api.recognition.channel import ChannelRecognizer
from stt_api.recognition.sphinx import SphinxEngine
from tests.unit.stt_api.recognition.test_channel import hear, text


@pytest.fixture(scope="module")
def sphinx() -> SphinxEngine:
    return SphinxEngine()


def test_a_closed_recognizer_gives_its_decoder_back(sphinx: SphinxEngine, sentence: bytes) -> None:
    recognizer = ChannelRecognizer(sphinx, ListenOptions())
    hear(recognizer, sentence[: 2 * 32_000])
    before = len(sphinx._free)
    recognizer.close()
    assert len(sphinx._free) == before + 1


def test_one_speakers_channel_normalisation_does_not_reach_the_next(sphinx: SphinxEngine, sentence: bytes) -> None:
    first = hear(ChannelRecognizer(sphinx, ListenOptions()), sentence)
    loud = (np.frombuffer(sentence, dtype="<i2") // 8).astype("<i2").tobytes()
    hear(ChannelRecognizer(sphinx, ListenOptions()), loud)
    assert hear(ChannelRecognizer(sphinx, ListenOptions()), sentence) == first


def test_an_utterance_is_written_with_capitals_and_only_its_end_with_a_full_stop(
    sphinx: SphinxEngine, sentence: bytes
) -> None:
    recognizer = sphinx.recognizer()
    recognizer.begin()
    recognizer.feed(sentence, speech=True)
    interim, final = recognizer.interim(), recognizer.final()
    assert interim[0].written == final[0].written == "The"
    assert (final[0].text, final[-1].text, final[-1].written) == ("the", "bridge", "bridge.")
    assert not interim[-1].written.endswith(".")


def test_a_model_of_the_users_is_loaded_from_its_folder(sentence: bytes) -> None:
    folder = Path(pocketsphinx.get_model_path()) / "en-us"
    (found,) = hear(ChannelRecognizer(SphinxEngine(folder), ListenOptions()), sentence)
    assert text(found).startswith("the morning")
