import pytest

from stt_api.closing import Closing
from stt_api.model import chosen
from stt_api.options import ListenOptions
from stt_api.recognition.events import Ended, Transcript, Undecodable
from stt_api.wire import Command, End, ListenWire, read_command


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('{"type":"KeepAlive"}', Command.KEEP_ALIVE),
        ('{"type":"Finalize"}', Command.FINALIZE),
        ('{"type":"CloseStream"}', Command.CLOSE_STREAM),
        ('{"type":"Configure"}', None),
        ('{"type":["CloseStream"]}', None),
        ("[1]", None),
        ("not json", None),
        ("[" * 100_000, None),
    ],
)
def test_a_text_message_is_a_known_command_or_none(text: str, command: Command | None) -> None:
    assert read_command(text) is command


def test_results_come_as_requested_and_the_last_metadata_has_the_duration() -> None:
    wire = ListenWire(ListenOptions(), chosen(), "an-id", [{"parameter": "x"}])
    (opening,) = wire.opening()
    assert (opening["duration"], opening["warnings"]) == (0.0, [{"parameter": "x"}])
    interim = Transcript(channel=0, channels=1, start=0.0, end=1.0)
    final = Transcript(channel=0, channels=1, start=0.0, end=2.0, final=True)
    assert wire.said(interim) == []
    assert not wire.complete(interim)
    assert [message["type"] for message in wire.said(final)] == ["Results"]
    assert wire.complete(final)
    wire.said(Ended(duration=2.5, channels=2))
    (last,) = wire.last(End(Closing.FINISHED))
    assert (last["duration"], last["channels"]) == (2.5, 2)


def test_nothing_is_reported_of_a_stream_without_audio() -> None:
    wire = ListenWire(ListenOptions(), chosen(), "an-id")
    wire.said(Undecodable(reason="text"))
    assert wire.last(End(Closing.UNDECODABLE, "text", report=False)) == []
