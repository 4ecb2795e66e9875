"""The address of OpenAI's transcriptions; tests/integration/http_proxy/test_http_openai.py sends requests to it."""

from aldea_infra.routing import TRANSCRIBE_PATHS, wildcard_match
from http_proxy.app import OPENAI_PATHS
from http_proxy.openai.transcription import PATH


def test_the_load_balancer_and_the_shape_of_errors_know_the_address() -> None:
    assert PATH.startswith(OPENAI_PATHS)
    assert any(wildcard_match(pattern, PATH) for pattern in TRANSCRIBE_PATHS)
