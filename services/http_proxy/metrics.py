"""http_proxy's metrics; those of admission, upstreams and the event loop are registered where they are measured."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

REQUESTS: Final = Counter("aldea_http_requests_total", "Requests by the status that the client got", ["status"])
IN_FLIGHT: Final = Gauge("aldea_http_requests_in_flight", "Requests that are being worked on")
BYTES_IN: Final = Counter("aldea_http_bytes_in_total", "Bytes of uploads")
BYTES_OUT: Final = Counter("aldea_http_bytes_out_total", "Bytes of answers' bodies")
AUDIO_SECONDS: Final = Counter("aldea_http_audio_seconds_total", "Billed audio")
UNMETERED: Final = Counter("aldea_http_unmetered_total", "Successful answers that reported no duration")
RETRIES: Final = Counter("aldea_http_retries_total", "Requests sent to an STT server once more", ["why"])
CALLBACKS: Final = Counter("aldea_http_callbacks_total", "Attempts to deliver a result", ["outcome"])
SECONDS: Final = Histogram(
    "aldea_http_request_seconds",
    "From the request's head to the answer's end",
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 3600),
)
CONNECT_SECONDS: Final = Histogram(
    "aldea_http_upstream_connect_seconds",
    "Time to connect to an STT server",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
)
