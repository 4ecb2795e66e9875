import wave

import pytest

from onebox import human_speech
from onebox.human_speech import RECORDINGS, recording


@pytest.mark.parametrize(("name", "seconds"), [("two_cities.wav", 44), ("beckett.wav", 9)])
def test_a_recording_is_used_where_the_package_has_it(name: str, seconds: int) -> None:
    path = recording(name)
    if path is None:
        pytest.skip("moonshine is not installed here")
    with wave.open(str(path)) as found:
        assert found.getnframes() // found.getframerate() == seconds
    assert RECORDINGS[name]


def test_without_the_package_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(human_speech, "PACKAGE", "no_such_package")
    assert recording("two_cities.wav") is None
