"""The one error of all checks, and the words for what an operating system says about a connection."""

import errno
import os
import socket
from typing import Final

_DO: Final = "Start it, or correct the address."


class Unusable(Exception):
    """What a variable gives cannot be used: what was found, what is needed, what to do."""


def not_reached(address: str, error: BaseException) -> Unusable:
    """Nothing responds at `address` (host:port), and why, as far as the operating system says."""
    if isinstance(error, socket.gaierror):
        return Unusable(f"the host of {address} is not known. Correct the address.")
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ECONNREFUSED or (number is None and isinstance(error, ConnectionRefusedError)):
        return Unusable(f"nothing listens on {address}. {_DO}")
    reason = os.strerror(number) if number is not None and number > 0 else _line(error)
    return Unusable(f"no connection to {address}: {reason}. {_DO}")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__


def one_line(error: BaseException) -> str:
    """An error's text on one line, at most 200 characters."""
    return _line(error)
