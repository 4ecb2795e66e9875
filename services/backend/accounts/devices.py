"""Known devices: a browser that has signed in to an account carries a proof of it, which throttles treat as its own.

Nobody else's tries can then keep its owner out (OWASP's "device cookies"). The proof opens nothing and is no session.
It is signed with a key made of the account's password hash: there is no secret to configure and nothing to store, and
all of an account's proofs end when its password changes. Pure.
"""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

# Renewed by each sign-in: a device that signs in twice a year stays known.
KNOWN_DAYS: Final = 180
_NONCE_BYTES: Final = 12
_TEXT: Final = re.compile(r"dev_(?P<nonce>[A-Za-z0-9_-]{16})\.(?P<expires>[0-9]{10,11})\.(?P<mac>[A-Za-z0-9_-]{43})")
MAX_CHARACTERS: Final = 80


@dataclass(frozen=True, slots=True)
class Device:
    """A new proof, and when it ends."""

    text: str
    expires: datetime


def issue(user_id: str, password_hash: str, now: float) -> Device:
    """A proof for the device that has just given the right password. `now`: Unix seconds."""
    expires = datetime.fromtimestamp(int(now), UTC) + timedelta(days=KNOWN_DAYS)
    nonce = _base64(secrets.token_bytes(_NONCE_BYTES))
    end = str(int(expires.timestamp()))
    return Device(f"dev_{nonce}.{end}.{_mac(user_id, password_hash, nonce, end)}", expires)


def known(text: str, user_id: str, password_hash: str, now: float) -> str | None:
    """What a proof is counted by in throttles, if it is of this account and good; else None."""
    found = _TEXT.fullmatch(text)
    if found is None or int(found["expires"]) <= now:
        return None
    right = _mac(user_id, password_hash, found["nonce"], found["expires"])
    return found["nonce"] if hmac.compare_digest(found["mac"], right) else None


def _mac(user_id: str, password_hash: str, nonce: str, expires: str) -> str:
    said = f"device {user_id} {nonce} {expires}"
    return _base64(hmac.new(password_hash.encode(), said.encode(), hashlib.sha256).digest())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
