"""The command that appoints operators, as far as it needs no database."""

import pytest

from backend.cli import main


def test_an_unreachable_database_is_reported_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:hunter2@127.0.0.1:1/aldea")
    assert main(["operator", "ann@example.com"]) == 1
    shown = capsys.readouterr().err
    assert "Check DATABASE_URL" in shown
    assert "hunter2" not in shown
