"""The STT servers of a proxy: which one a request tries, passive and active health, places, and which are to be left.

A request tries the servers of `Upstreams.attempts` in turn and reports what it saw with `succeeded`, `failed` or
`busy`. `Upstreams.watch` sends each server `GET /stats` in between, so that a dead one is known before a customer meets
it, a revived one comes back without a customer trying it first, and new streams go where there are places. All else
is arithmetic on an injected clock.
"""

from aldea.upstream.attempts import Attempts
from aldea.upstream.circuit import FAILURES_TO_OPEN, Circuit, State
from aldea.upstream.metrics import CIRCUIT_OPEN
from aldea.upstream.pool import Upstreams
from aldea.upstream.server import Upstream
from aldea.upstream.settings import SERVER_LIST_HELP, UpstreamSettings
from aldea.upstream.tracing import server_attributes, to_server
from aldea.upstream.urls import ServerList, parse_servers, server_path, trust

__all__ = [
    "CIRCUIT_OPEN",
    "FAILURES_TO_OPEN",
    "SERVER_LIST_HELP",
    "Attempts",
    "Circuit",
    "ServerList",
    "State",
    "Upstream",
    "UpstreamSettings",
    "Upstreams",
    "parse_servers",
    "server_attributes",
    "server_path",
    "to_server",
    "trust",
]
