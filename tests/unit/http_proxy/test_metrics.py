from prometheus_client import REGISTRY

from http_proxy import metrics


def test_every_metric_of_the_proxy_is_registered_under_the_platforms_prefix() -> None:
    names = {family.name for family in REGISTRY.collect()}
    assert metrics.IN_FLIGHT._name in names
    assert {"aldea_http_requests", "aldea_http_audio_seconds", "aldea_http_callbacks", "aldea_http_unmetered"} <= names
