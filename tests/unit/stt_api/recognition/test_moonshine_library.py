from pathlib import Path

import numpy as np
import pytest

from stt_api.model import MOONSHINE, package_folder
from stt_api.recognition.moonshine_library import Library, LibraryFailed


@pytest.fixture(scope="module")
def package() -> Path:
    found = package_folder(MOONSHINE)
    if found is None:
        pytest.skip("moonshine is not installed here")
    return found


def test_a_sentence_becomes_text(package: Path, sentence: bytes) -> None:
    library = Library(package, package / "assets" / "tiny-en", 0)
    samples = np.frombuffer(sentence, dtype="<i2").astype(np.float32) / np.float32(32768)
    text = library.transcribe(samples, 16_000)
    assert text == "The morning was quiet and the river moved slowly under the old bridge."
    assert library.transcribe(samples[::2], 8_000).startswith("The morning")


def test_a_folder_without_a_model_is_refused(package: Path, tmp_path: Path) -> None:
    with pytest.raises(LibraryFailed, match="moonshine: "):
        Library(package, tmp_path, 0)
