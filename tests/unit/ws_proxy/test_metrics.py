from prometheus_client import REGISTRY

from ws_proxy import metrics


def test_every_metric_of_the_proxy_is_registered_under_the_platforms_prefix() -> None:
    names = {family.name for family in REGISTRY.collect()}
    assert metrics.ACTIVE_STREAMS._name in names
    assert {"aldea_active_streams", "aldea_ws_handshakes", "aldea_ws_closes", "aldea_ws_bytes"} <= names
