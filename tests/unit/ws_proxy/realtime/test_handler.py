from aldea_infra.routing import LIVE_PATHS, wildcard_match
from ws_proxy.realtime.handler import INTENT, PATH


def test_the_load_balancer_forwards_the_address() -> None:
    assert any(wildcard_match(pattern, PATH) for pattern in LIVE_PATHS)
    assert INTENT == "transcription"  # the SDKs' own word
