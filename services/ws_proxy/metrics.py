"""ws_proxy's metrics; those of admission, upstreams and the event loop are registered where they are measured."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from aldea.metrics import emit_values, from_zero

ACTIVE_STREAMS: Final = Gauge("aldea_active_streams", "Streams open now")
HANDSHAKES: Final = from_zero(
    Counter("aldea_ws_handshakes_total", "Opening handshakes by the status they ended with", ["status"]),
    "101",
    "500",
    "502",
    "503",
    "504",
)
CONNECT_SECONDS: Final = Histogram(
    "aldea_ws_upstream_connect_seconds",
    "From the first attempt to the STT server's 101",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
_TO_WORDS: Final = (
    0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12.5, 15, 20, 25,
    30, 40, 50, 60,
)  # fmt: skip
# One step of these is less than what staged delivery calls slower (aldea_infra.release_stages.SLOWER).
FIRST_WORDS_SECONDS: Final = Histogram(
    "aldea_ws_first_words_seconds",
    "From a stream's first audio to its first words",
    ["lane", "server"],
    buckets=_TO_WORDS,
)
FINAL_LAG_SECONDS: Final = Histogram(
    "aldea_ws_final_lag_seconds",
    "From the end of a final's audio at the proxy to the final words, raw audio only",
    ["lane", "server"],
    buckets=_TO_WORDS,
)
emit_values(FIRST_WORDS_SECONDS)
WORDLESS_SECONDS: Final = 15.0
WORDLESS: Final = Counter(
    "aldea_ws_wordless_streams_total", "Streams without words 15 s after their first audio, silent ones too", ["lane"]
)
BYTES: Final = Counter("aldea_ws_bytes_total", "Bytes received, counted at each reading", ["side"])
MESSAGES: Final = Counter("aldea_ws_messages_total", "Messages received, counted at each reading", ["side"])
CLOSES: Final = Counter(
    "aldea_ws_closes_total", "Both hops of ended streams, by close code and who began", ["side", "code", "initiator"]
)
AUDIO_SECONDS: Final = Counter("aldea_ws_audio_seconds_total", "Billed audio of ended streams")
FAILOVERS: Final = Counter("aldea_ws_failovers_total", "Running streams whose server was replaced, by cause", ["cause"])
FAILED_FAILOVERS: Final = from_zero(
    Counter("aldea_ws_failovers_failed_total", "Running streams that lost their server and found no other", ["reason"]),
    "no server",
    "too many",
    "unrecoverable",
)
GAP_SECONDS: Final = Histogram(
    "aldea_ws_failover_gap_seconds",
    "From a server's last message before a failover to the first one after it",
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 15, 20),
)
REPLAYED_SECONDS: Final = Counter("aldea_ws_replayed_seconds_total", "Audio that was sent to a second server again")
WINDOW_BYTES: Final = Gauge("aldea_ws_replay_window_bytes", "What is kept of running streams to be sent again")
UNRECOVERABLE_STREAMS: Final = Gauge(
    "aldea_ws_unrecoverable_streams", "Streams of raw audio that lack a part of their window until their next final"
)
