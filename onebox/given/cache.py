"""A given Redis (or Valkey): its version, that it is a primary of its own, and that it takes writes."""

from typing import Any, Final

import redis.asyncio as redis
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from aldea.redaction import redact_text
from onebox.given.errors import Unusable, not_reached, one_line, parts_of

# The oldest that the scripts are tested with: the embedded one.
OLDEST: Final = (6, 2)
EXAMPLE: Final = "redis://:password@host:6379/0, or rediss:// for TLS"
# Never there; deleting it is refused by whatever takes no writes, and changes nothing.
_PROBE_KEY: Final = "aldea:probe"
# Longer than the deadline of all checks, which says it in its own words.
_SECONDS: Final = 30.0


async def check(url: str) -> str:
    """What Redis is at `url`. Raises Unusable."""
    where = _address(url)
    try:
        client = redis.from_url(
            url, decode_responses=True, protocol=2, retry=Retry(NoBackoff(), 0),
            socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS,
        )  # fmt: skip
    except ValueError as error:
        raise Unusable(f"{redact_text(one_line(error))}; allowed: {EXAMPLE}.") from None
    try:
        async with client:
            found: dict[str, Any] = await client.info("server")
            text = verdict(found, where)
            await client.delete(_PROBE_KEY)
            return text
    except (exceptions.AuthenticationError, exceptions.AuthenticationWrongNumberOfArgsError):
        raise Unusable(
            f"Redis on {where} does not let this user in with this password. Correct them in the URL: {EXAMPLE}."
        ) from None
    except exceptions.ReadOnlyError:
        raise Unusable(f"Redis on {where} is a replica, which takes no writes. Give the primary's address.") from None
    except exceptions.TimeoutError:
        raise TimeoutError from None
    except exceptions.ResponseError as error:
        raise Unusable(f"Redis on {where} refuses: {redact_text(one_line(error))}.") from None
    except exceptions.ConnectionError as error:
        cause = error.__cause__ or error.__context__
        raise not_reached(where, cause if isinstance(cause, OSError) else error) from None
    except exceptions.RedisError as error:
        raise Unusable(
            f"what listens on {where} does not respond as Redis does ({redact_text(one_line(error))})."
        ) from None
    except OSError as error:
        raise not_reached(where, error) from None


def _address(url: str) -> str:
    parts = parts_of(url, EXAMPLE)
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        raise Unusable(f"it does not begin with redis:// or rediss:// and a host; allowed: {EXAMPLE}.")
    if parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise Unusable(f"its database {parts.path.strip('/')!r:.40} is no number; allowed: {EXAMPLE}.")
    return f"{parts.hostname}:{parts.port or 6379}"


def verdict(found: dict[str, Any], where: str) -> str:
    """What a server's INFO means. Raises Unusable."""
    name = "Valkey" if "valkey_version" in found else "Redis"
    version = str(found.get("valkey_version") or found.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers < OLDEST:
        raise Unusable(
            f"{name} {version or 'of an unknown version'} on {where} is too old; needed: {'.'.join(map(str, OLDEST))} "
            "or later. Give a newer one, or unset REDIS_URL to use the embedded one."
        )
    if found.get("redis_mode") not in {None, "standalone"}:
        raise Unusable(
            f"{name} on {where} runs as {found['redis_mode']}; needed: one primary, with or without replicas."
        )
    return f"{name} {version} on {where}"
