"""The worker's metrics; each a name of its own, since CloudWatch's EMF documents carry no labels."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

LAG: Final = Histogram(
    "aldea_usage_lag_seconds",
    "From a reading's arrival in the Redis stream to its committed row",
    buckets=(0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 900, 3600),
)
MERGED: Final = Counter("aldea_usage_merged", "Readings that moved their row")
COALESCED: Final = Counter("aldea_usage_coalesced", "Readings of a batch that a later one of the same request covered")
DUPLICATE: Final = Counter("aldea_usage_duplicate", "Readings that were in their row already")
STALE: Final = Counter("aldea_usage_stale", "Readings that were older than their row")
REJECTED: Final = Counter("aldea_usage_rejected", "Readings sent to the dead-letter queue")
RETURNED: Final = Counter("aldea_usage_returned", "Messages left in the queue because a batch could not be written")
SQS_REQUESTS: Final = Counter("aldea_usage_updater_sqs_requests", "Calls made to SQS")
HALTED: Final = Gauge("aldea_usage_halted", "1 while a run of nothing but failures has stopped the consumption")
QUEUE_AGE: Final = Gauge(
    "aldea_usage_queue_oldest_seconds",
    "Age of the oldest message of the last receive, 0 if none; while messages wait and none is received, since when",
)
QUEUE_DEPTH: Final = Gauge("aldea_usage_queue_messages", "About how many messages wait in the usage queue")
DEAD_LETTERS: Final = Gauge("aldea_usage_dead_letters", "About how many messages lie in the dead-letter queue")
