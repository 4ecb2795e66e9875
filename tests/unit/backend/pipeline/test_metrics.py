from prometheus_client import REGISTRY


def test_the_publishers_metrics_exist_from_the_start_so_that_alarms_see_zero() -> None:
    names = {metric.name for metric in REGISTRY.collect()}
    assert {"aldea_usage_stream_entries", "aldea_usage_stream_oldest_seconds", "aldea_usage_published"} <= names
