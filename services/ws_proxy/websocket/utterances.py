"""Utterances: the UtteranceEnd that a lost STT server had still to send, for words that were final already. No I/O.

The server that takes over hears the silence behind those words, and not the words, so it cannot send it.
"""

from typing import Any, Final

from ws_proxy.websocket.rewriter import seconds_of

# A server that was sent audio so long ago, and has no words in it, has heard silence.
SILENT_SECONDS: Final = 2.0
# Of a stream, as many as are billed at most.
MAX_CHANNELS: Final = 64
# The times of two servers may differ by the rounding of each.
_ROUNDING_SECONDS: Final = 1e-6


class Utterances:
    """One stream's. It is shown every message that the client gets, with the times of the whole stream."""

    __slots__ = ("_ends", "_wait")

    def __init__(self, wait: float) -> None:
        """`wait`: the seconds of silence behind a word that end an utterance (`utterance_end_ms`)."""
        self._wait = wait
        # By channel: its `channel_index`, and where its last final word ended, while the UtteranceEnd is to come.
        self._ends: dict[int, tuple[Any, float]] = {}

    def passed(self, message: dict[str, Any]) -> None:
        """The client gets this message."""
        kind = message.get("type")
        if kind == "UtteranceEnd":
            self._ends.pop(_channel(message.get("channel")), None)
        elif kind == "Results" and (end := _last_word_end(message)) is not None:
            index = message.get("channel_index", [0, 1])
            if message.get("is_final") is True:
                self._ends[_channel(index)] = index, end
            else:
                self._ends.pop(_channel(index), None)  # somebody goes on: the end counts from these words

    def due_before(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """What has to come before this message of a server that took over."""
        start, duration = seconds_of(message.get("start")), seconds_of(message.get("duration"))
        if message.get("type") != "Results" or start is None or duration is None or _last_word_end(message) is not None:
            return []
        channel = _channel(message.get("channel_index"))
        return self._due({channel} & self._ends.keys(), start + duration)

    def due_in_silence(self, sent: float) -> list[dict[str, Any]]:
        """What has to come now that so many seconds of audio were sent, if a server that took over says nothing."""
        return self._due(set(self._ends), sent - SILENT_SECONDS)

    def _due(self, channels: set[int], silent_until: float) -> list[dict[str, Any]]:
        found = []
        for channel in sorted(channels):
            index, last = self._ends[channel]
            if silent_until >= last + self._wait - _ROUNDING_SECONDS:
                del self._ends[channel]
                found.append({"type": "UtteranceEnd", "channel": index, "last_word_end": last})
        return found


def _channel(index: Any) -> int:
    found = index[0] if isinstance(index, list) and index else 0
    return found if type(found) is int and 0 <= found < MAX_CHANNELS else 0


def _last_word_end(message: dict[str, Any]) -> float | None:
    """Where the last word of a Results ends; None if it has none."""
    channel = message.get("channel")
    alternatives = channel.get("alternatives") if isinstance(channel, dict) else None
    first = alternatives[0] if isinstance(alternatives, list) and alternatives else None
    words = first.get("words") if isinstance(first, dict) else None
    last = words[-1] if isinstance(words, list) and words else None
    return seconds_of(last.get("end")) if isinstance(last, dict) else None
