"""TCP ports of the loopback interface: free ones for servers to come, taken ones, those that accept connections."""

import random
import socket
from collections import deque
from contextlib import closing
from typing import Final

from onebox.byte_locks import ByteLocks

# Below the ports that kernels hand to outgoing connections, so that nothing takes one between choice and use.
_FREE_PORTS: Final = range(20_000, 30_000)
_FREE_PORT_TRIES: Final = 200
LAST_PORT: Final = 65_535
# So many of a process's choices are kept from others. The server of an older one has long been started, or was stopped.
_KEPT: Final = 200


class Reservations:
    """Ports that processes of one user have chosen, and nobody listens on yet.

    A port that is free when it is chosen is not when its server starts, if another process chose the same one
    meanwhile: two runs of the tests do so every few minutes.
    """

    def __init__(self, locks: ByteLocks) -> None:
        self._locks = locks
        self._mine: deque[int] = deque()

    def take(self, port: int) -> bool:
        """Whether `port` is nobody's, and this process's from now on."""
        if port in self._mine or not self._locks.take(port):
            return False
        self._mine.append(port)
        while len(self._mine) > _KEPT:
            self._locks.give_back(self._mine.popleft())
        return True

    def give_back(self, port: int) -> None:
        """Another process may take it."""
        self._mine.remove(port)
        self._locks.give_back(port)


_RESERVATIONS: Final = Reservations(ByteLocks.of_this_user("onebox-ports"))


def free_port() -> int:
    """A TCP port of the loopback interface that is free now, and that no other process gets from here meanwhile.

    Raises OSError if none is found.
    """
    for _ in range(_FREE_PORT_TRIES):
        port = random.choice(_FREE_PORTS)
        if _RESERVATIONS.take(port):
            if port_is_free(port):
                return port
            _RESERVATIONS.give_back(port)
    raise OSError(f"no free TCP port found between {_FREE_PORTS.start} and {_FREE_PORTS.stop}; stop something")


def port_is_free(port: int) -> bool:
    """Whether this loopback port can be bound now, by a server that reuses addresses as ours do."""
    return why_not_free(port) is None


def why_not_free(port: int) -> OSError | None:
    """What the operating system says to a server that wants this loopback port, None if it may have it."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            # Without SO_REUSEPORT two listeners exclude each other, which bind alone does not show everywhere.
            probe.listen(1)
        except OSError as error:
            return error
        return None


def port_accepts(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    with closing(socket.socket()) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
