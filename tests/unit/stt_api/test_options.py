from stt_api.options import ListenOptions


def test_options_survive_the_way_to_the_recognition_process() -> None:
    options = ListenOptions(encoding="mulaw", sample_rate=8_000, utterance_end_ms=1_000, vad_events=True)
    assert ListenOptions.from_json(options.to_json()) == options


def test_channels_are_recognised_apart_only_when_requested() -> None:
    assert ListenOptions(channels=2).recognized_channels == 1
    assert ListenOptions(channels=2, multichannel=True).recognized_channels == 2
