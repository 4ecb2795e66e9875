"""The one error of all checks, and the words for what is no URL and what an operating system says of a connection."""

import errno
import os
import socket
from typing import Final
from urllib.parse import SplitResult, urlsplit

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
    reason = os.strerror(number) if number is not None and number > 0 else one_line(error)
    return Unusable(f"no connection to {address}: {reason}. {_DO}")


def one_line(error: BaseException) -> str:
    """An error's text on one line, at most 200 characters."""
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__


def parts_of(url: str, example: str, *, what: str = "it") -> SplitResult:
    """A URL's parts, its port among them. `what`: how the sentence calls it. Raises Unusable."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no port
    except ValueError as error:
        raise Unusable(f"{what} is no URL ({one_line(error)}); allowed: {example}.") from None
    return parts
