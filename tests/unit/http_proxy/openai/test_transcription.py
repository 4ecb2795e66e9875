"""The address of OpenAI's transcriptions; tests/integration/http_proxy/test_http_openai.py sends requests to it."""

from aldea_infra.routing import TRANSCRIBE_PATHS, wildcard_match
from http_proxy.app import OPENAI_PATHS
from http_proxy.openai.transcription import ABSENT, PATH, of_the_file


def test_the_load_balancer_and_the_shape_of_errors_know_the_address() -> None:
    assert PATH.startswith(OPENAI_PATHS)
    assert any(wildcard_match(pattern, PATH) for pattern in TRANSCRIBE_PATHS)
    for path in ABSENT:
        assert path.startswith(OPENAI_PATHS)
        assert any(wildcard_match(pattern, path) for pattern in TRANSCRIBE_PATHS)


def test_a_message_about_a_body_is_one_about_the_file() -> None:
    assert of_the_file("The body is empty; send the audio's bytes as the request's body.").startswith("file: got an ")
    assert of_the_file("The body cannot be used: no audio.") == "file: it cannot be used: no audio."
    assert of_the_file("language: got 'de'.") == "language: got 'de'."
