import pytest

from stt_api.audio import incoming as module
from stt_api.audio.faults import Fault, UndecodableAudio
from stt_api.audio.incoming import Incoming
from stt_api.audio.slices import MAX_HEADER_BYTES, Budget
from tests.recordings import encoded


def made() -> Incoming:
    return Incoming(Budget(None))


def test_every_byte_is_reported_done_once() -> None:
    incoming = made()
    incoming.feed(bytes(100))
    assert incoming.read(60) == bytes(60)
    assert incoming.consumed(settled=False) == 60
    assert incoming.read(60) == bytes(40)
    # The last byte stays owed while the reader is at work, and while what it made was not taken.
    assert incoming.consumed(settled=False) == 39
    assert incoming.consumed(settled=False) == 0
    assert incoming.consumed(settled=True) == 1
    incoming.end()
    assert incoming.read(60) == b""


def test_the_head_stays_for_the_decoder() -> None:
    incoming = made()
    incoming.feed(b"RIFF1234WAVEmore")
    assert incoming.head(12) == b"RIFF1234WAVE"
    assert incoming.read(100) == b"RIFF1234WAVEmore"


@pytest.mark.parametrize(("name", "format_"), [("ogg", "ogg-opus"), ("matroska", "webm"), ("mov", "mp4-fragmented")])
@pytest.mark.parametrize("chunk", [1, 33, 1000, 1 << 20])
def test_files_are_read_one_by_one_wherever_the_pieces_are_cut(name: str, format_: str, chunk: int) -> None:
    data = encoded(format_, 0.5)
    incoming = made()
    incoming.cut_files(name)
    incoming.feed(3 * data)
    incoming.end()
    found = []
    while True:
        parts = []
        while part := incoming.read(chunk):
            parts.append(part)
        found.append(b"".join(parts))
        if not incoming.next_file():
            break
    assert found == [data] * 3


def test_what_may_begin_another_file_is_handed_out_on_a_flush() -> None:
    incoming = made()
    incoming.cut_files("ogg")
    incoming.feed(b"OggS\x00\x02" + bytes(30) + b"OggS\x00\x00" + bytes(30) + b"OggS")
    while not (read := incoming.read(1000)).endswith(bytes(30)):
        assert not read.endswith(b"OggS")
    incoming.flush()
    assert incoming.read(1000) == b"OggS"


def test_a_closed_stream_is_at_its_end_whatever_came() -> None:
    incoming = made()
    incoming.feed(bytes(1000))
    incoming.close()
    assert incoming.read(10) == b""
    incoming.feed(bytes(1000))
    assert incoming.read(10) == b""


def test_what_is_kept_on_disk_is_bounded_for_a_stream_and_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SPOOL_BYTES", 1000)
    monkeypatch.setattr(module, "MAX_SPOOLED_BYTES", 1500)
    one, two = made(), made()
    for incoming in (one, two):
        incoming.keep_all()
    one.feed(bytes(1000))
    with pytest.raises(UndecodableAudio) as refused:
        one.feed(b"x")
    assert refused.value.fault is Fault.INDEX_AT_END
    with pytest.raises(UndecodableAudio):
        two.feed(bytes(501))
    one.close_file()
    two.feed(bytes(501))
    two.close_file()


def test_a_place_beyond_any_end_is_an_end() -> None:
    incoming = made()
    incoming.keep_all()
    incoming.feed(bytes(100))
    incoming.end()
    assert incoming.seek(1 << 62) == 1 << 62
    assert incoming.read(10) == b""
    incoming.close_file()


def test_a_header_that_never_ends_is_a_fault_and_an_end_for_libav() -> None:
    incoming = made()
    incoming.feed(bytes(100))
    incoming._budget.received = MAX_HEADER_BYTES + 1
    assert incoming.read(10) == b""
    assert incoming.fault is not None
    assert incoming.fault.fault is Fault.HEADER


def test_what_comes_after_the_file_was_given_up_is_dropped() -> None:
    incoming = made()
    incoming.keep_all()
    incoming.close_file()
    incoming.feed(bytes(1000))
    assert incoming.read(10) == b""
