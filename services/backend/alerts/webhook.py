"""One attempt to deliver an event to a webhook, by the Standard Webhooks specification 1.0.

`webhook-id` is the event's id: the same at every repetition and for every webhook. `webhook-timestamp` is the attempt's
time, `webhook-signature` a signature for each secret that is good at the moment (two after a rotation, for a day).
"""

import json
import secrets
import time
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import structlog
from standardwebhooks import Webhook

from aldea.address_guard import GuardedClient, RefusedUrl
from aldea.lookups import on_behalf_of

log = structlog.get_logger("backend.alerts")

# The specification recommends 15 to 30 s at most, and a secret of 24 to 64 bytes.
ATTEMPT_SECONDS: Final = 10.0
SECRET_BYTES: Final = 32
# What is kept of a response, for people.
RESPONSE_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to. `failure`: why it failed, None: it did not. `gone`: the receiver wants no more (410)."""

    failure: str | None
    took_ms: int
    status: int | None = None
    response: str | None = None

    @property
    def gone(self) -> bool:
        """Whether the receiver says that it is not there any more."""
        return self.status == 410


def new_secret() -> str:
    """A new secret, `whsec_` and base64."""
    return "whsec_" + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def payload(event_id: str, kind: str, created: datetime, data: dict[str, Any]) -> str:
    """The body: what happened, when, and to what."""
    moment = created.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"id": event_id, "type": kind, "timestamp": moment, "data": data}, separators=(",", ":"))


def headers(event_id: str, body: str, moment: float, signing: list[str]) -> dict[str, str]:
    """The headers of an attempt at `moment` (Unix seconds), signed with each secret."""
    when = datetime.fromtimestamp(int(moment), UTC)
    return {
        "Content-Type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(moment)),
        "webhook-signature": " ".join(Webhook(secret).sign(event_id, when, body) for secret in signing),
    }


async def send(
    client: GuardedClient, *, customer: str, url: str, event_id: str, body: str, signing: list[str]
) -> Outcome:
    """Send an event once. Raises nothing but cancellation. `customer`: whose name servers it may keep waiting."""
    began = time.monotonic()
    sent = headers(event_id, body, time.time(), signing)
    status, text = None, None
    try:
        with on_behalf_of(customer):
            async with client.open("POST", url, seconds=ATTEMPT_SECONDS, headers=sent, body=body.encode()) as response:
                status = response.status
                text = _shown(await response.content.read(4 * RESPONSE_CHARACTERS))
        failure = None if 200 <= status < 300 else f"responded {status}"
    except RefusedUrl as refused:
        failure = f"refused: {refused.message}"
    except TimeoutError:
        failure = f"no response within {ATTEMPT_SECONDS:g} s"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        failure = f"no response: {type(error).__name__}"
    except Exception as error:
        # Counted like any failure; otherwise this delivery would be tried without end.
        log.exception("webhook send failed", event_id=event_id)
        failure = type(error).__name__
    return Outcome(failure, round((time.monotonic() - began) * 1000), status, text)


def _shown(raw: bytes) -> str:
    """The begin of a response as text that PostgreSQL and a page can hold."""
    text = raw.decode("utf-8", "replace")[:RESPONSE_CHARACTERS]
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
