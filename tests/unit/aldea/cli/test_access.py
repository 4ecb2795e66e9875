"""Where the key and the address come from, and what is said if they cannot be used."""

from pathlib import Path

import pytest

from aldea.canary.client import StreamFailed
from aldea.cli.access import DEFAULT_URL, Access, access

KEY = "org_" + "x" * 38


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    return path


def test_the_environment_has_both() -> None:
    here = access(None, None, {"ALDEA_URL": "http://127.0.0.1:8080/", "ALDEA_KEY": f" {KEY} "})
    assert here == Access("http://127.0.0.1:8080", KEY)


def test_a_file_that_is_named_comes_before_the_environments_key(file: Path) -> None:
    assert access(None, str(file), {"ALDEA_KEY": "other"}) == Access(DEFAULT_URL, KEY)
    assert access("http://h", None, {"ALDEA_KEY_FILE": str(file)}).key == KEY


def test_the_standard_file_is_the_last_place(tmp_path: Path, file: Path) -> None:
    folder = tmp_path / ".config" / "aldea"
    folder.mkdir(parents=True)
    file.rename(folder / "key")
    assert access(None, None, {"HOME": str(tmp_path)}).key == KEY
    assert access(None, None, {"XDG_CONFIG_HOME": str(tmp_path / ".config")}).key == KEY


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "There is no API key. Set ALDEA_KEY"),
        ({"HOME": "/nowhere"}, "There is no API key."),
        ({"ALDEA_KEY_FILE": "/nowhere/key"}, "cannot be read: No such file"),
        ({"ALDEA_KEY_FILE": "/"}, "cannot be read: Is a directory"),
        ({"ALDEA_KEY": "two words"}, "ALDEA_KEY is no API key"),
        ({"ALDEA_KEY": "schl\u00fcssel"}, "ALDEA_KEY is no API key"),
        ({"ALDEA_KEY": "a\x1bb"}, "ALDEA_KEY is no API key"),
    ],
)
def test_no_key_is_a_sentence_that_says_what_to_do(environment: dict[str, str], said: str) -> None:
    with pytest.raises(StreamFailed) as failure:
        access(None, None, environment)
    assert said in str(failure.value)
    assert "--key-file" in str(failure.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"<html>\n<body>"])
def test_a_file_that_holds_no_key_is_named_and_not_shown(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(StreamFailed, match=str(path)) as failure:
        access(None, str(path), {})
    assert "html" not in str(failure.value)


@pytest.mark.parametrize(
    "url",
    [
        "api.aldea.ai",
        "ftp://h",
        "http://",
        "http://h:x",
        "http://h:99999",
        "http://h/v1",
        "http://a:b@h",
        "http://[::1",
    ],
)
def test_an_address_that_is_none_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(StreamFailed, match="cannot be used; allowed: http or https"):
        access(url, None, {"ALDEA_KEY": KEY})
