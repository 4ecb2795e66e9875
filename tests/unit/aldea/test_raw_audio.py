import pytest

from aldea.raw_audio import SAMPLE_BYTES, raw_encoding


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("linear16", "linear16"), ("PCM", "linear16"), ("s16le", "linear16"), ("ulaw", "mulaw"), ("pcma", "alaw")],
)
def test_raw_audio_goes_by_many_names(name: str, encoding: str) -> None:
    assert raw_encoding(name) == encoding
    assert encoding in SAMPLE_BYTES


@pytest.mark.parametrize("name", ["", "mp3", "opus", "linear"[:3]])
def test_what_is_no_raw_audio_is_none(name: str) -> None:
    assert raw_encoding(name) is None
