"""The fields of a head in which no two readers can differ: each name once, values of visible ASCII. Performs no I/O."""

import re
from functools import lru_cache
from typing import Final

# A head of any client or server is a tenth of it, and aiohttp takes more; a longer one is left to aiohttp.
MAX_HEAD: Final = 8000
MAX_FIELDS: Final = 64
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"  # RFC 9110 section 5.6.2
# Visible ASCII without space at either end (RFC 9110 section 5.5 allows more).
# Only single characters are repeated possessively: of a group, Python before 3.11.5 matches what it should not
# (https://github.com/python/cpython/issues/106052). A group that gives back finds no other way on, so it stays linear.
VALUE: Final = rb"[!-~]++(?: ++[!-~]++)*"
# All fields of a head and the empty line behind them, as a part of an expression.
FIELDS: Final = rb"((?:" + _TOKEN + rb": ?" + VALUE + rb"\r\n)+)\r\n"
# No sign, no zeros in front, nothing that does not fit: up to a terabyte.
LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,11}")
# What `Connection` may say where it is plain; the first two keep the connection.
KEPT: Final = frozenset({b"", b"keep-alive"})
CLOSED: Final = b"close"


class Fields:
    """A head's fields by names in any case. `raw`: as they came; `named`: by lower-case names."""

    __slots__ = ("named", "raw")

    def __init__(self, raw: list[tuple[bytes, bytes]], named: dict[bytes, bytes]) -> None:
        self.raw = raw
        self.named = named

    def get(self, name: str, default: str = "") -> str:
        """The value of `name`."""
        found = self.named.get(_key(name))
        return default if found is None else found.decode()

    def getall(self, name: str, default: list[str]) -> list[str]:
        """The values of `name`: one, or `default`."""
        found = self.named.get(_key(name))
        return default if found is None else [found.decode()]

    def __contains__(self, name: str) -> bool:
        return _key(name) in self.named

    def __getitem__(self, name: str) -> str:
        return self.named[_key(name)].decode()


@lru_cache(maxsize=256)
def _key(name: str) -> bytes:
    return name.lower().encode()


def read_fields(block: bytes, not_plain: frozenset[bytes]) -> Fields | None:
    """The fields in a block that FIELDS has matched; None if one is repeated, is in `not_plain`, or they are many."""
    raw = [(name, value.lstrip()) for name, _, value in [line.partition(b":") for line in block[:-2].split(b"\r\n")]]
    named = {name.lower(): value for name, value in raw}
    if not len(named) == len(raw) <= MAX_FIELDS or not not_plain.isdisjoint(named):
        return None
    return Fields(raw, named)
