"""The backend's settings."""

import pytest
from pydantic import ValidationError

from aldea.settings import read
from backend.settings import BackendSettings

URLS = {
    "database_url": "postgresql://u:secret@h/d",
    "redis_url": "redis://h:6379/0",
    "usage_queue_url": "https://sqs/1/usage",
    "usage_dlq_url": "https://sqs/1/dead",
}


def test_the_stores_and_queues_are_all_that_must_be_given() -> None:
    settings = read(BackendSettings, **URLS)
    assert settings.port == 8103
    assert settings.plan_requests_per_minute
    assert "secret" not in repr(settings)


@pytest.mark.parametrize("origin", ["*", "platform.example.com", "https://platform.example.com/", "https://a b"])
def test_a_console_origin_that_no_browser_would_send_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError):
        read(BackendSettings, **URLS, console_origin=origin)
