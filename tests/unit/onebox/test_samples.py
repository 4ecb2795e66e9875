import wave
from pathlib import Path

from aldea.canary.accuracy import words_of

SAMPLES = Path(__file__).resolve().parents[3] / "onebox" / "samples"


def test_the_sample_is_short_16_khz_mono_pcm_of_modest_size() -> None:
    path = SAMPLES / "speech.wav"
    assert path.stat().st_size < 700_000
    with wave.open(str(path)) as sample:
        assert (sample.getframerate(), sample.getnchannels(), sample.getsampwidth()) == (16_000, 1, 2)
        assert 10 <= sample.getnframes() / sample.getframerate() <= 20


def test_the_sample_has_its_true_text_beside_it() -> None:
    assert len(words_of((SAMPLES / "speech.txt").read_text())) == 49
