import pytest

from aldea.settings import explain, read
from stt_api.settings import SttSettings, default_workers


def test_the_engine_starts_without_any_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SttSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    settings = read(SttSettings)
    assert settings.port == 8800
    assert settings.stt_workers == default_workers() <= 2
    assert settings.stt_api_token is None


def test_a_bad_number_of_workers_is_named_with_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STT_WORKERS", "0")
    with pytest.raises(ValueError) as caught:
        read(SttSettings)
    text = explain(SttSettings, caught.value)  # type: ignore[arg-type]
    assert "STT_WORKERS: got '0'" in text
    assert "1 to 64" in text


def test_loopback_urls_are_for_one_machine_only() -> None:
    assert read(SttSettings, allow_loopback_urls=True, environment="onebox").allow_loopback_urls
    with pytest.raises(ValueError, match="ALLOW_LOOPBACK_URLS"):
        read(SttSettings, allow_loopback_urls=True, environment="prod")


def test_a_process_may_use_memory_for_each_of_its_streams_unless_a_bound_is_set() -> None:
    assert read(SttSettings, stt_streams_per_worker=8).worker_memory_mb == 1792
    assert read(SttSettings, stt_worker_memory_mb=600).worker_memory_mb == 600
    with pytest.raises(ValueError, match="stt_worker_memory_mb"):
        read(SttSettings, stt_worker_memory_mb=100)
