"""What a form requests of its response."""

import pytest

from aldea.errors import BadRequest
from http_proxy.openai.options import FORMATS, Options, read_options


def test_nothing_requested_is_json() -> None:
    assert read_options({}) == Options(response_format="json", stream=False, words=False, segments=True)


@pytest.mark.parametrize("response_format", FORMATS)
def test_every_format_is_taken_with_what_else_clients_send(response_format: str) -> None:
    fields = {"response_format": [response_format], "temperature": ["0.2"], "language": ["en"], "prompt": ["x"],
              "model": ["whisper-1"], "include[]": ["logprobs"], "chunking_strategy": ["auto"]}  # fmt: skip
    assert read_options(fields).response_format == response_format


def test_granularities_choose_what_is_listed() -> None:
    verbose = {"response_format": ["verbose_json"]}
    words = read_options({**verbose, "timestamp_granularities[]": ["word"]})
    assert (words.words, words.segments) == (True, False)
    both = read_options({**verbose, "timestamp_granularities[]": ["word", "segment"]})
    assert (both.words, both.segments) == (True, True)


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"response_format": ["xml"]}, "response_format"),
        ({"temperature": ["2"]}, "temperature"),
        ({"temperature": ["nan"]}, "temperature"),
        ({"temperature": ["warm"]}, "temperature"),
        ({"language": ["de"]}, "language"),
        ({"stream": ["maybe"]}, "stream"),
        ({"stream": ["true"], "response_format": ["srt"]}, "stream"),
        ({"timestamp_granularities[]": ["word"]}, "timestamp_granularities[]"),
        ({"timestamp_granularities[]": ["line"], "response_format": ["verbose_json"]}, "timestamp_granularities[]"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_by_its_name(fields: dict[str, list[str]], parameter: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_options(fields)
    assert refused.value.message.startswith(f"{parameter}: got ")
