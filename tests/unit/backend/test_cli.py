"""The backend's command line, as far as it needs no database."""

import io
from datetime import UTC, date, datetime

import pytest

from backend.cli import _day, main


def test_a_database_url_that_is_none_stops_the_command_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://user:hunter2@localhost/x")
    with pytest.raises(SystemExit) as ended:
        main(["migrate"])
    shown = capsys.readouterr().err
    assert ended.value.code == 2
    assert "DATABASE_URL" in shown
    assert "hunter2" not in shown


def test_a_database_that_is_not_there_ends_a_migration_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:hunter2@127.0.0.1:1/aldea")
    assert main(["migrate", "up"]) == 1
    shown = capsys.readouterr().err
    assert "Check DATABASE_URL" in shown
    assert "hunter2" not in shown


def test_a_bootstrap_refuses_a_short_password_before_it_needs_a_database(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user@127.0.0.1:1/aldea")
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    with pytest.raises(SystemExit) as ended:
        main(["bootstrap", "--email", "ann@example.com", "--password-stdin"])
    assert ended.value.code == 1
    assert "at least 12" in capsys.readouterr().err


def test_the_help_says_how_to_bootstrap(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "bootstrap --email ADDRESS --password-stdin" in capsys.readouterr().out


def test_a_day_is_an_iso_date_today_or_yesterday() -> None:
    assert _day("2026-03-31") == date(2026, 3, 31)
    assert datetime.now(UTC).date().toordinal() - _day("yesterday").toordinal() in {1, 2}  # midnight may come between
    assert _day("today") > _day("2026-03-31")


def test_a_day_that_is_none_is_refused_with_what_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["reconcile", "--day", "31.3.2026"])
    assert "allowed: YYYY-MM-DD, today, yesterday" in capsys.readouterr().err
