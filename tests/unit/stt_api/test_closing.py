from stt_api.audio.faults import MAX_FAULT_BYTES, Fault
from stt_api.closing import MAX_REASON_BYTES, Closing

# Wider than any figure that a fault or a closing can have.
FIGURES = (4_294_967_295, 192_000, 192_000)


def test_every_reason_of_the_engine_fits_into_a_close_frame_as_it_is() -> None:
    for fault in Fault:
        text = fault.value.format(*FIGURES)
        assert len(text.encode()) <= MAX_FAULT_BYTES, text
        assert Closing.UNDECODABLE.reason(text) == f"DATA-0000: {text}."
    for closing in Closing:
        reason = closing.reason(3599.123)
        assert len(reason.encode()) <= MAX_REASON_BYTES
        assert not reason or reason.endswith(".")


def test_a_reason_that_did_not_fit_would_end_with_a_word() -> None:
    reason = Closing.UNDECODABLE.reason("caf\u00e9 au lait " * 20)
    assert len(reason.encode()) <= MAX_REASON_BYTES
    assert reason.split()[-1] in {"caf\u00e9.", "au.", "lait."}
