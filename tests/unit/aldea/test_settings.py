import pytest
from pydantic import Field, SecretStr, field_validator, model_validator

from aldea.settings import ServiceSettings, is_secret, read, read_or_exit


class Example(ServiceSettings):
    redis_url: SecretStr = Field(description="a redis:// URL")
    tokens: list[SecretStr] = Field(default=[], description="a JSON list of tokens")
    origin: str = Field("", description="an origin", max_length=10)

    @field_validator("redis_url")
    @classmethod
    def known_scheme(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if not text.startswith("redis"):
            raise ValueError(f"what is {text}?")
        return value

    @model_validator(mode="after")
    def no_local_production(self) -> "Example":
        if self.environment == "prod" and self.bind_host.startswith("127."):
            raise ValueError("prod listens on 0.0.0.0")
        return self


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "REDIS_URL", "LOG_LEVEL", "METRICS_PORT", "ENVIRONMENT", "TOKENS", "BIND_HOST"):
        monkeypatch.delenv(name, raising=False)


def line(capsys: pytest.CaptureFixture[str]) -> str:
    """What a service that cannot start prints: one line."""
    with pytest.raises(SystemExit) as stop:
        read_or_exit("example", Example)
    assert stop.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith("example: bad settings: ")
    assert text.count("\n") == 1
    return text


def test_settings_are_read_from_the_environment_and_cannot_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "8101")
    monkeypatch.setenv("REDIS_URL", "redis://:pw@host/0")
    monkeypatch.setenv("METRICS_PORT", "")
    settings = read_or_exit("example", Example)
    assert (settings.port, settings.metrics_port) == (8101, None)
    assert "pw" not in repr(settings)
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


def test_a_missing_setting_is_named_with_what_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    text = line(capsys)
    assert "PORT: got nothing; allowed: the TCP port" in text
    assert "REDIS_URL: got nothing; allowed: a redis:// URL" in text


def test_a_bad_value_is_shown_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "eighty")
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    text = line(capsys)
    assert "PORT: got 'eighty' (Input should be a valid integer" in text
    assert "allowed: DEBUG, INFO, WARNING or ERROR" in text


def test_a_secret_that_does_not_fit_is_never_shown_not_even_by_its_validator(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("REDIS_URL", "hunter2")
    text = line(capsys)
    assert "REDIS_URL: got a value that does not fit (not shown); allowed: a redis:// URL" in text
    assert "hunter2" not in text


def test_a_fault_across_fields_shows_no_value_at_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@host")
    monkeypatch.setenv("ENVIRONMENT", "prod")
    text = line(capsys)
    assert "bad settings: prod listens on 0.0.0.0" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("value", ["not json hunter2", '{"hunter2": 1}', '["hunter2", 1]'])
def test_a_list_that_is_none_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("REDIS_URL", "redis://host")
    monkeypatch.setenv("TOKENS", value)
    text = line(capsys)
    assert "TOKENS" in text
    assert "allowed: a JSON list of tokens" in text
    assert "hunter2" not in text


def test_a_long_or_secret_looking_value_of_an_open_field_is_cut_and_redacted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("REDIS_URL", "redis://host")
    monkeypatch.setenv("ORIGIN", "https://u:hunter2@host/\n" + "x" * 500)
    text = line(capsys)
    assert "hunter2" not in text
    assert "x" * 100 not in text


def test_overrides_beat_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1")
    assert read(ServiceSettings, port=2).port == 2


def test_a_secret_is_recognised_at_any_depth() -> None:
    assert is_secret(SecretStr)
    assert is_secret(SecretStr | None)
    assert is_secret(list[SecretStr] | None)
    assert not is_secret(str | None)
