from prometheus_client import REGISTRY


def test_the_workers_metrics_exist_from_the_start_so_that_alarms_see_zero() -> None:
    names = {metric.name for metric in REGISTRY.collect()}
    wanted = {
        "lag_seconds",
        "merged",
        "duplicate",
        "stale",
        "rejected",
        "queue_oldest_seconds",
        "dead_letters",
        "halted",
    }
    assert {f"aldea_usage_{name}" for name in wanted} <= names
