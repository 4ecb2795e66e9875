"""Session: one stream's life from the client's 101 to its final reading."""

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from prometheus_client import Counter

from aldea.admission import Grant, Verdict
from aldea.log import FrequentEvent
from aldea.usage.reading import Rank, UsageReading
from ws_proxy import metrics
from ws_proxy.meter import Meter
from ws_proxy.placement import Placement
from ws_proxy.websocket.frames import CloseCode
from ws_proxy.websocket.relay import Relay
from ws_proxy.websocket.terms import Ending

# The reason may be a peer's text and the server's name is configured; the rest cannot hold a credential.
_ended: Final = FrequentEvent(
    "ws_proxy.stream",
    "stream ended",
    own=(
        "request_id", "project_id", "lane", "failovers", "unrecoverable", "initiator", "close_code",
        "upstream_close_code", "connect_ms", "duration_ms", "audio_ms", "audio_source", "bytes_in", "bytes_out",
        "messages_in", "messages_out", "first_word_ms", "final_lag_ms",
    ),
)  # fmt: skip
# What a stream is counted in, in the order of Session._counted.
_COUNTERS: Final = (
    metrics.BYTES.labels("client"),
    metrics.BYTES.labels("upstream"),
    metrics.MESSAGES.labels("client"),
    metrics.MESSAGES.labels("upstream"),
)


class Session:
    """A relay, what it is billed for, and the readings of it. A `Renewable` of the renewal ticker."""

    __slots__ = (
        "_connect_ms",
        "_counted",
        "_meter",
        "_now",
        "_seq",
        "_started",
        "grant",
        "placement",
        "relay",
    )

    def __init__(
        self,
        grant: Grant,
        relay: Relay,
        meter: Meter,
        placement: Placement,
        *,
        connect_ms: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`placement`: on the server that took the stream; `connect_ms`: for the log."""
        self.grant = grant
        self.relay = relay
        self.placement = placement
        placement.before_leaving = self._leaving_server
        self._meter = meter
        self._connect_ms = connect_ms
        self._now = now
        self._started = now()
        self._seq = 0
        self._counted = (0, 0, 0, 0)  # see _count

    def checkpoint(self) -> UsageReading:
        """A snapshot of the running stream; each is greater than the one before."""
        return self._reading(Rank.OPEN, close_code=None)

    def on_refused(self, verdict: Verdict) -> None:
        """A renewal found that the stream may not go on: 1008.

        At once, or behind the last words of what is billed where only money or quota is used up.
        """
        if verdict.used_up:
            self.relay.drain(CloseCode.POLICY_VIOLATION, verdict.close_reason, self.relay.limits.finish)
        else:
            self.relay.end(CloseCode.POLICY_VIOLATION, verdict.close_reason)

    def final(self, ending: Ending) -> UsageReading:
        """The last reading; also counts and logs the stream's end, and reports a server that failed it."""
        reading = self._reading(Rank.FINAL, close_code=ending.client_code)
        client, upstream = self.relay.client, self.relay.upstream
        placement = self.placement
        server = placement.server
        # Lost, hung or talking nonsense. A server that closes with a code of its own lives, whatever the code says.
        failed = ending.initiator == "upstream" and upstream.close_received is None
        placement.release(ending.reason if failed else None)
        if self.relay.unrecoverable:
            metrics.FAILED_FAILOVERS.labels("unrecoverable").inc()
        client_code, upstream_code = int(ending.client_code), int(ending.upstream_code)
        _closes("client", client_code, ending.initiator).inc()
        _closes("upstream", upstream_code, ending.initiator).inc()
        metrics.AUDIO_SECONDS.inc(reading.audio_ms / 1000)
        _ended.info(
            request_id=self.grant.request_id,
            project_id=self.grant.project_id,
            lane=self.grant.lane,
            upstream=server.name if server is not None else None,
            failovers=placement.failovers,
            unrecoverable=self.relay.unrecoverable,
            initiator=ending.initiator,
            reason=ending.reason,
            close_code=client_code,
            upstream_close_code=upstream_code,
            connect_ms=self._connect_ms,
            duration_ms=reading.connection_ms,
            audio_ms=reading.audio_ms,
            audio_source=reading.audio_source,
            bytes_in=reading.bytes_in,
            bytes_out=reading.bytes_out,
            messages_in=client.scanner.messages,
            messages_out=upstream.scanner.messages,
            first_word_ms=reading.first_word_ms,
            final_lag_ms=_ms(self.relay.final_lag.greatest if self.relay.final_lag is not None else None),
        )
        return reading

    def _leaving_server(self) -> None:
        self._meter.failed_over(self.relay.upstream.scanner.report, self.relay.audio_bytes)

    def _count(self) -> None:
        """Add what came since the last reading to the process's counters: a long stream shows while it runs."""
        client, upstream = self.relay.client, self.relay.upstream
        now = (
            client.bytes_received,
            upstream.bytes_received,
            client.scanner.messages,
            upstream.scanner.messages,
        )
        for counter, value, before in zip(_COUNTERS, now, self._counted, strict=True):
            counter.inc(value - before)
        self._counted = now
        if self.relay.first_words.missed(upstream, metrics.WORDLESS_SECONDS):
            metrics.WORDLESS.labels(self.grant.lane).inc()

    def _reading(self, rank: Rank, *, close_code: int | None) -> UsageReading:
        client, upstream, grant = self.relay.client, self.relay.upstream, self.grant
        self._count()
        audio = self._meter.audio(upstream.scanner.report, self.relay.audio_bytes)
        self._seq += 1
        return grant.reading(
            rank,
            self._seq,
            audio_ms=audio.ms,
            audio_source=audio.source,
            channels=audio.channels,
            connection_ms=round((self._now() - self._started) * 1000),
            bytes_in=client.bytes_received,
            bytes_out=upstream.bytes_received,
            status=101,
            close_code=close_code,
            failovers=self.placement.failovers,
            first_word_ms=_ms(self.relay.first_words.seconds),
        )


def ended_attributes(final: UsageReading, ending: Ending) -> dict[str, str | int]:
    """What a stream's span says of its end."""
    return {
        "aldea.project_id": final.project_id,
        "aldea.lane": final.lane,
        "aldea.close_code": int(ending.client_code),
        "aldea.initiator": ending.initiator,
        "aldea.failovers": final.failovers,
        "aldea.audio_ms": final.audio_ms,
    }


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


@lru_cache(maxsize=256)
def _closes(side: str, code: int, initiator: str) -> Counter:
    """The counter of these labels, which is not looked up for each stream.

    A peer may send any of 2,000 codes of its own (RFC 6455 section 7.4.2): they are counted as 3xxx and 4xxx.
    """
    return metrics.CLOSES.labels(side, str(code) if code < 3000 else f"{code // 1000}xxx", initiator)
