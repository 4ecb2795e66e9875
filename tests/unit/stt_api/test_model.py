from pathlib import Path

import pytest

from stt_api import model
from stt_api.model import ENGINES, Model, chosen, package_folder, shape


def installed(monkeypatch: pytest.MonkeyPatch, *engines: str) -> None:
    monkeypatch.setattr(model, "package_folder", lambda engine: Path("/there") if engine in engines else None)
    monkeypatch.setattr("importlib.metadata.version", lambda _package: "1.2.3")


def folder(tmp_path: Path, name: str, *files: str) -> Path:
    made = tmp_path / name
    for file in files:
        (made / file).parent.mkdir(parents=True, exist_ok=True)
        (made / file).touch()
    return made


def test_moonshine_is_used_where_it_is_installed_and_pocketsphinx_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, *ENGINES)
    assert chosen().info == {"name": "moonshine-tiny-en", "version": "1.2.3", "arch": "moonshine"}
    assert chosen("pocketsphinx").info["name"] == "pocketsphinx-en-us"
    installed(monkeypatch, "pocketsphinx")
    assert chosen().engine == "pocketsphinx"


def test_an_engine_that_is_not_installed_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "pocketsphinx")
    with pytest.raises(ValueError, match=r"STT_ENGINE=moonshine.*set STT_ENGINE=pocketsphinx"):
        chosen("moonshine")


def test_a_users_model_is_named_after_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed(monkeypatch, *ENGINES)
    base = folder(tmp_path, "base-en", "encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")
    assert chosen(None, base) == Model("moonshine", "moonshine-base-en", "1.2.3", str(base))
    french = folder(tmp_path, "fr", "acoustic/mdef", "fr.lm.bin", "fr.dict")
    assert chosen("pocketsphinx", french).name == "pocketsphinx-fr"


@pytest.mark.parametrize(
    ("engine", "name", "files", "text"),
    [
        ("moonshine", "tiny-en", ("tokenizer.bin",), "encoder_model.ort, decoder_model_merged.ort not found"),
        ("moonshine", "mine", ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin"), "tiny or base"),
        ("pocketsphinx", "fr", ("fr.dict",), "mdef, .*lm.bin not found"),
    ],
)
def test_a_folder_that_holds_no_model_of_the_engine_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, engine: str, name: str, files: tuple[str, ...], text: str
) -> None:
    installed(monkeypatch, *ENGINES)
    with pytest.raises(ValueError, match=f"STT_MODEL_PATH=.*{text}"):
        chosen(engine, folder(tmp_path, name, *files))


def test_a_model_has_one_id_and_another_version_another() -> None:
    first = Model("moonshine", "tiny", "1")
    assert first.uuid == Model("moonshine", "tiny", "1").uuid != Model("moonshine", "tiny", "2").uuid


def test_the_shape_is_read_from_the_folders_name() -> None:
    names = ("tiny-en", "Base-en", "tiny-streaming-en", "large")
    assert [shape(Path("/x") / name) for name in names] == [0, 1, None, None]


def test_the_fallback_is_always_installed() -> None:
    found = package_folder("pocketsphinx")
    assert found is not None
    assert found.is_dir()
