import pytest

from aldea.settings import read
from aldea.sqs_settings import SqsSettings


def test_settings_name_the_variable_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="usage_queue_url"):
        read(SqsSettings, port=0, usage_queue_url="queue", usage_dlq_url="https://x/y")
