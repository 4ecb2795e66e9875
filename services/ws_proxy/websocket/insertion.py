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


class Insertions:
    """Those of a relay that wait, one for each leg at most: by the leg that they go to."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[Leg, Insertion] | None = None  # most streams never have any

    def __contains__(self, leg: Leg) -> bool:
        return self._waiting is not None and leg in self._waiting

    def add(
        self,
        leg: Leg,
        data: bytes,
        *,
        whole_messages: bool,
        then: Callable[[], None],
        otherwise: Callable[[], None],
        within: Callable[[Callable[[], None]], Later] | None,
    ) -> None:
        """Put `data` into the stream towards `leg` at the next boundary between frames or between whole messages.

        `then` runs when it is written, `otherwise` if there is no such place in time. `within(expired)` starts the
        timer of the wait; None: it does not wait. A later insertion (a Close) takes the place of one that waits (a
        CloseStream).
        """
        self.cancel(leg)
        source = leg.peer
        if leg.at_message_boundary if whole_messages else leg.at_frame_boundary:
            leg.write(data)
            then()
        elif within is None or source.transport is None or source.scanner.stopped:
            otherwise()
        else:

            def expired() -> None:
                self.cancel(leg)
                otherwise()

            def written() -> None:
                waiting.pop(leg, None)
                then()

            waiting = self._waiting = self._waiting if self._waiting is not None else {}
            waiting[leg] = Insertion(
                source,
                data,
                whole_messages=whole_messages,
                then=written,
                otherwise=otherwise,
                timer=within(expired),
            )

    def cancel(self, leg: Leg) -> Insertion | None:
        """The one that waited for a place in the stream towards `leg`, if any: it waits no more."""
        insertion = self._waiting.pop(leg, None) if self._waiting is not None else None
        if insertion is not None:
            insertion.cancel()
        return insertion
