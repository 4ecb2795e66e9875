"""Insertion: bytes of our own that wait for their place in a stream of frames."""

from collections.abc import Callable

from aldea.standstill import Later
from ws_proxy.websocket.leg import Leg


class Insertion:
    """One of them. `then` runs behind the chunk in which its place came; nothing of the source follows it.

    `otherwise` is for the owner, if the place never comes; `timer` ends with the wait.
    """

    __slots__ = ("_data", "_source", "_then", "_timer", "_whole_messages", "otherwise")

    def __init__(
        self,
        source: Leg,
        data: bytes,
        *,
        whole_messages: bool,
        then: Callable[[], None],
        otherwise: Callable[[], None],
        timer: Later,
    ) -> None:
        self._source = source
        self._data = data
        self._whole_messages = whole_messages
        self._then = then
        self._timer = timer
        self.otherwise = otherwise
        source.scanner.on_boundary = self._at_boundary

    def _at_boundary(self, message_ended: bool) -> bytes:
        if self._whole_messages and not message_ended:
            return b""
        data, source = self._data, self._source
        source.scanner.stop()
        source.after_chunk(self._then)
        self.cancel()
        return data

    def cancel(self) -> None:
        """Wait no more."""
        self._timer.cancel()
        self._source.scanner.on_boundary = None
