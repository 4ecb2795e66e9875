import pytest

from aldea.settings import read
from sqs_updater.settings import ReplaySettings, Settings

QUEUES = {"usage_queue_url": "https://sqs/q", "usage_dlq_url": "https://sqs/d"}


def test_defaults_fit_the_platform() -> None:
    found = read(Settings, database_url="postgresql://u:p@h/d", **QUEUES)
    assert (found.port, found.workers, found.sqs_endpoint_url) == (8105, 2, None)
    assert found.model_config.get("frozen")


def test_replay_needs_no_database() -> None:
    assert read(ReplaySettings, **QUEUES).usage_dlq_url == "https://sqs/d"


@pytest.mark.parametrize("bad", [{"workers": 0}, {"usage_queue_url": "q"}, {"sqs_endpoint_url": "localhost:1"}])
def test_a_bad_value_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        read(Settings, **{"database_url": "postgresql://u:p@h/d", **QUEUES, **bad})
