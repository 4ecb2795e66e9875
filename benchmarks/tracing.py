"""What tracing costs ws_proxy: `make bench-tracing`.

Three processes of it share one core: without tracing, without it again (their difference is the noise), and with a
tenth of the streams recorded and exported. They take turns in many short rounds, and the processor time per message and
per short stream is compared: whatever else the machine does meets all of them.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

from benchmarks.stage import OURS, Proxy, Stage, missing

OFF, AGAIN, ON = "off", "off again", "on at 10 %"
CONNECTIONS: Final = 16
ECHO_SECONDS: Final = 1
SHORT_STREAMS: Final = 1000
# The exporter sends what waits every five seconds.
EXPORT_SECONDS: Final = 6
# By figure: the load, what counts one, and the least that is allowed of the rate without tracing.
FIGURES: Final = {"messages": ("echo", "messages", 0.98), "handshakes": ("short", "handshakes", 0.95)}


@contextmanager
def collector() -> Iterator[str]:
    """An OTLP endpoint that takes everything; its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def measured(proxies: dict[str, Proxy], rounds: int) -> dict[str, dict[str, float]]:
    """Processor time of each in µs per message and per short stream, what it exports between its turns included."""
    found: dict[str, dict[str, float]] = {name: {} for name in proxies}
    order = list(proxies)
    for figure, (mode, _, _) in FIGURES.items():
        amount = SHORT_STREAMS if mode == "short" else ECHO_SECONDS
        for proxy in proxies.values():
            proxy.run(mode, CONNECTIONS, amount)  # a process's first streams make what it then keeps
        began = {name: proxy.cpu_seconds() for name, proxy in proxies.items()}
        done = dict.fromkeys(proxies, 0.0)
        for _ in range(rounds):
            for name in order:
                said = proxies[name].run(mode, CONNECTIONS, amount)
                done[name] += amount if mode == "short" else said["messages_per_s"] * amount
            order.append(order.pop(0))
        time.sleep(EXPORT_SECONDS)
        for name, proxy in proxies.items():
            found[name][figure] = (proxy.cpu_seconds() - began[name]) / done[name] * 1e6
    return found


def main() -> int:
    """Measure and judge; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how often each is measured (20)")
    parser.add_argument("--json", action="store_true", help="write the figures as JSON")
    options = parser.parse_args()
    if lacking := missing(nginx=False):
        print(*lacking, sep="\n")
        return 2
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stage = Stage(Path(folder), stack)
        tracing = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": stack.enter_context(collector()),
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.1",
        }
        settings: dict[str, dict[str, str]] = {OFF: {}, AGAIN: {}, ON: tracing}
        proxies = {name: stack.enter_context(stage.proxy(OURS, settings=each)) for name, each in settings.items()}
        found = measured(proxies, options.rounds)
    ratios = {name: {figure: found[OFF][figure] / found[name][figure] for figure in FIGURES} for name in found}
    if options.json:
        print(json.dumps({"cpu_us": found, "ratios": ratios}, indent=1))
    else:
        for figure, (_, unit, least) in FIGURES.items():
            for name in found:
                print(f"{unit}, {name}: {found[name][figure]:.1f} µs, {ratios[name][figure]:.3f} x (must: {least} x)")
    return int(any(ratios[ON][figure] < least for figure, (_, _, least) in FIGURES.items()))


if __name__ == "__main__":
    raise SystemExit(main())
