import pytest

from aldea.errors import BadRequest
from stt_api.options import ListenOptions
from stt_api.query import parse


def test_without_parameters_audio_describes_itself_and_is_one_channel() -> None:
    options = parse({"model": "nova-3", "language": "en", "unheard_of": "x"})
    assert options == ListenOptions()
    assert options.encoding is None
    assert options.recognized_channels == 1


def test_raw_audio_is_described_by_the_query() -> None:
    options = parse({"encoding": "linear16", "sample_rate": "44100", "channels": "2", "multichannel": "true"})
    assert (options.encoding, options.sample_rate, options.channels) == ("linear16", 44_100, 2)
    assert options.recognized_channels == 2


@pytest.mark.parametrize("name", ["encoding", "format", "codec"])
def test_the_encoding_goes_by_three_names(name: str) -> None:
    assert parse({name: "LINEAR16"}).encoding == "linear16"
    assert parse({name: "mp3"}).encoding is None


def test_a_sample_rate_alone_means_raw_samples() -> None:
    assert parse({"sample_rate": "8000"}).encoding == "linear16"


def test_the_raw_address_takes_nothing_but_linear16() -> None:
    assert parse({}, raw_only=True).encoding == "linear16"
    with pytest.raises(BadRequest, match="linear16 only"):
        parse({"encoding": "mp3"}, raw_only=True)


def test_a_container_of_unknown_channels_gets_two_places_when_they_are_recognised_apart() -> None:
    assert parse({"multichannel": "true"}).recognized_channels == 2


@pytest.mark.parametrize(
    "query",
    [
        {"encoding": "speex"},
        {"sample_rate": "7999"},
        {"sample_rate": "200000"},
        {"sample_rate": "16e3"},
        {"sample_rate": "-16000"},
        {"sample_rate": "\u0661\u0666\u0660\u0660\u0660"},
        {"channels": "0"},
        {"channels": "9"},
        {"utterance_end_ms": "999"},
        {"utterance_end_ms": "5001"},
        {"endpointing": "soon"},
        {"interim_results": "yes please"},
        {"vad_events": "2"},
    ],
)
def test_an_unusable_parameter_is_refused_by_name(query: dict[str, str]) -> None:
    (name,) = query
    with pytest.raises(BadRequest, match=f"^{name}: got .*allowed: "):
        parse(query)


def test_endpointing_is_a_time_or_on_or_off() -> None:
    assert parse({"endpointing": "500"}).endpointing_ms == 500
    assert parse({"endpointing": "true"}).endpointing_ms == ListenOptions().endpointing_ms
    assert parse({"endpointing": "false"}).endpointing_ms is None


def test_either_wish_for_readable_text_punctuates() -> None:
    assert parse({"smart_format": "true"}).punctuate
    assert parse({"punctuate": "true"}).punctuate
    assert not parse({"punctuate": "false"}).punctuate


@pytest.mark.parametrize("name", ["pcm", "PCM", "s16le", "pcm_s16le"])
def test_pcm_is_linear16_on_both_addresses(name: str) -> None:
    assert parse({"encoding": name}).encoding == "linear16"
    assert parse({"encoding": name}, raw_only=True).encoding == "linear16"


def test_a_codec_that_is_named_may_be_joined_late() -> None:
    assert parse({"encoding": "mp3"}).codec == "mp3"
    assert parse({"codec": "aac"}).codec == "aac"
    assert parse({"encoding": "flac"}).codec is None
    assert parse({}).codec is None
