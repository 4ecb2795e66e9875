"""The publisher's metrics; each a name of its own, since CloudWatch's EMF documents carry no labels."""

from typing import Final

from prometheus_client import Counter, Gauge

STREAM_LENGTH: Final = Gauge("aldea_usage_stream_entries", "Entries in the Redis usage stream")
STREAM_AGE: Final = Gauge("aldea_usage_stream_oldest_seconds", "Age of the oldest entry of the Redis usage stream")
PUBLISHED: Final = Counter("aldea_usage_published", "Readings that SQS accepted")
COALESCED: Final = Counter("aldea_usage_publisher_coalesced", "Readings that a later one of the same request covered")
CLAIMED: Final = Counter("aldea_usage_claimed", "Entries taken over from a publisher that stopped")
REJECTED: Final = Counter("aldea_usage_publisher_rejected", "Stream entries sent to the dead-letter queue")
SQS_REQUESTS: Final = Counter("aldea_usage_publisher_sqs_requests", "Calls made to SQS")
