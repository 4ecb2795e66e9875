"""The metrics of the services that the program watches or scales by. No pulumi.

A test holds that the services emit each of them. Dimension: ServiceName, the ECS service's name with the stack's
prefix.
"""

from typing import Final

# CloudWatch namespace of aldea.metrics.
NAMESPACE: Final = "Aldea"

ACTIVE_STREAMS: Final = "aldea_active_streams"
# From a stream's first audio to its first words: its values (with percentiles), and how many there were.
FIRST_WORDS: Final = "aldea_ws_first_words_seconds"
FIRST_WORDS_COUNT: Final = "aldea_ws_first_words_seconds_count"
WORDLESS: Final = "aldea_ws_wordless_streams_total"
CIRCUIT_OPEN: Final = "aldea_upstream_circuit_open"
UPSTREAM_FAILURES: Final = "aldea_upstream_failures_total"
PLACES: Final = "aldea_upstream_places"
PLACES_USED: Final = "aldea_upstream_places_used"
READINGS_DROPPED: Final = "aldea_readings_dropped_total"
USAGE_STREAM_AGE: Final = "aldea_usage_stream_oldest_seconds"
USAGE_MERGED: Final = "aldea_usage_merged_total"
USAGE_HALTED: Final = "aldea_usage_halted"
CANARY_SUCCESS: Final = "aldea_canary_success"
# Of each objective its events, and the bad ones (aldea.objectives).
OBJECTIVES: Final = tuple(
    f"aldea_objective_{name}_{kind}_total"
    for name in ("handshakes", "first_words", "final_lag", "usage_lag")
    for kind in ("events", "bad")
)

ALL: Final = (
    ACTIVE_STREAMS,
    FIRST_WORDS,
    FIRST_WORDS_COUNT,
    WORDLESS,
    CIRCUIT_OPEN,
    UPSTREAM_FAILURES,
    PLACES,
    PLACES_USED,
    READINGS_DROPPED,
    USAGE_STREAM_AGE,
    USAGE_MERGED,
    USAGE_HALTED,
    CANARY_SUCCESS,
    *OBJECTIVES,
)
