"""What a proxy's metrics say of its STT servers."""

from typing import Final

from prometheus_client import Counter, Gauge

CIRCUIT_OPEN: Final = Gauge("aldea_upstream_circuit_open", "1 while a server is taken out of use", ["server"])
FAILURES: Final = Counter("aldea_upstream_failures_total", "Requests and probes that a server failed", ["server"])
LEAVING: Final = Gauge("aldea_upstream_leaving", "1 while a server takes no new requests and is to be left", ["server"])
PLACES: Final = Gauge("aldea_upstream_places", "Places for streams that a server says it has", ["server"])
PLACES_USED: Final = Gauge("aldea_upstream_places_used", "Places for streams that a server says are taken", ["server"])
