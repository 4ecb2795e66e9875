"""Numbers that somebody else wrote: read with a bound, whatever is in there.

`int()` raises for more than 4,300 digits (CPython, CVE-2020-10735), reads digits of every script, and hands on whatever
fits; a wait of ten to the fourhundredth seconds then fails somewhere else.
"""

import math
import time
from email.utils import parsedate_to_datetime
from typing import Final

# The longest wait that is passed on: a client that is given more does not come back.
MAX_RETRY_SECONDS: Final = 86_400
# Digits that are looked at at all; enough for every size and time that is possible.
_MAX_DIGITS: Final = 18


def whole_number(text: str, *, most: int) -> int | None:
    """The number that `text` writes in decimal digits, 0 to `most` (below 10^18); None for anything else."""
    if not (text.isascii() and text.isdecimal()):
        return None
    digits = text.lstrip("0")
    if len(digits) > _MAX_DIGITS:
        return None
    number = int(digits or "0")
    return number if number <= most else None


def retry_after_seconds(text: str) -> float | None:
    """The wait that a Retry-After names (RFC 9110 section 10.2.3: seconds, or a date), 0 to MAX_RETRY_SECONDS.

    None if it names none.
    """
    text = text.strip()
    if text.isascii() and text.isdecimal():
        number = whole_number(text, most=MAX_RETRY_SECONDS)
        return float(MAX_RETRY_SECONDS if number is None else number)
    try:
        wait = parsedate_to_datetime(text[:64]).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return bounded_wait(wait, least=0)


def bounded_wait(seconds: float, *, least: float) -> float:
    """`seconds`, but not less than `least` nor more than MAX_RETRY_SECONDS; what is no number counts as `least`."""
    if isinstance(seconds, float) and math.isnan(seconds):
        return least
    return max(least, min(seconds, MAX_RETRY_SECONDS))
