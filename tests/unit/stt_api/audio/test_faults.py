from stt_api.audio.faults import FORMATS_TAKEN, Fault, UndecodableAudio


def test_a_fault_says_its_figures_and_is_known_by_its_kind() -> None:
    fault = UndecodableAudio(Fault.SAMPLE_RATE, 1, 4_000, 192_000)
    assert fault.fault is Fault.SAMPLE_RATE
    assert str(fault) == "the sample rate is 1 Hz; allowed are 4000 to 192000 Hz"


def test_a_text_ends_no_sentence_for_whoever_quotes_it_does() -> None:
    for text in (*(fault.value for fault in Fault), FORMATS_TAKEN):
        assert not text.endswith(".")
