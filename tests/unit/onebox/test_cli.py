from pathlib import Path

import pytest

from onebox.cli import USAGE, main, port


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("8090", 8090), (" 8090 ", 8090), ("65535", 65535)])
def test_a_port_is_a_number(text: str, number: int) -> None:
    assert port(text) == number


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("abc", "is no number"),
        ("", "is no number"),
        ("80.5", "is no number"),
        ("1e3", "is no number"),
        ("٨٠٨٠", "is no number"),
        ("-1", "is out of range"),
        ("65536", "is out of range"),
        ("9" * 5000, "is out of range"),
    ],
)
def test_another_text_is_one_sentence_of_its_own(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as refused:
        port(text)
    assert "allowed: 1 to 65535" in str(refused.value)
    assert len(str(refused.value)) < 250


def test_a_bad_port_is_said_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--data", str(tmp_path / "box"), "run", "--port", "99999"]) == USAGE
    monkeypatch.setenv("ONEBOX_PORT", "none")
    assert main(["--data", str(tmp_path / "box"), "run"]) == USAGE
    said = capsys.readouterr().err.splitlines()
    assert ["99999" in said[0], "none" in said[1], len(said)] == [True, True, 2]
    assert not (tmp_path / "box").exists()


@pytest.mark.parametrize(
    ("given", "more", "said"), [("http://gpu:8800", [], "STT_UPSTREAMS"), ("", ["--images", "local"], "--images")]
)
def test_an_engine_that_cannot_be_killed_is_said_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, given: str, more: list[str],
    said: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("STT_UPSTREAMS", given)
    assert main(["--data", str(tmp_path / "box"), "demo", "--kill-engine", *more]) == 1
    assert said in capsys.readouterr().out
    assert not (tmp_path / "box").exists()


@pytest.mark.parametrize("factor", ["0", "61", "-1", "2.5", "fast"])
def test_rules_are_not_made_faster_than_a_rate_can_be_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], factor: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--data", str(tmp_path / "box"), "run", "--observe", f"--faster={factor}"])
    assert ended.value.code == USAGE
    assert "--faster" in capsys.readouterr().err
    assert not (tmp_path / "box").exists()


def test_status_makes_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path / "box"), "status"]) == 1
    assert "does not run" in capsys.readouterr().out
    assert not (tmp_path / "box").exists()
