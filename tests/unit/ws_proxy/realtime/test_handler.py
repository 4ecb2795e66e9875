import pytest

from aldea.errors import BadRequest
from aldea_infra.routing import LIVE_PATHS, wildcard_match
from ws_proxy.realtime.handler import INTENT, PATH, check_intent


def test_the_load_balancer_forwards_the_address() -> None:
    assert any(wildcard_match(pattern, PATH) for pattern in LIVE_PATHS)
    assert INTENT == "transcription"  # the SDKs' own word


@pytest.mark.parametrize(
    "query",
    [{"intent": INTENT}, {"intent": INTENT, "model": "x"}, {"model": "gpt-4o-mini-transcribe"}, {"model": "whisper-1"}],
)
def test_a_transcription_is_one_by_its_intent_or_by_its_model(query: dict[str, str]) -> None:
    check_intent(query)


@pytest.mark.parametrize(
    "query", [{}, {"intent": "conversation"}, {"model": "gpt-realtime"}, {"intent": "x", "model": "gpt-4o-transcribe"}]
)
def test_another_session_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(BadRequest, match="allowed: transcription"):
        check_intent(query)
