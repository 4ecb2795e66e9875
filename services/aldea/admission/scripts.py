"""The Lua scripts of admission, and the keys and arguments that each is called with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from aldea.admission.grant import Application, Grant
from aldea.redis.link import Script
from aldea.redis.schema import (
    RESERVED,
    TRANSCRIBE_SCOPE,
    USAGE_STREAM,
    leases_key,
    metered_key,
    month,
    spent_key,
    used_key,
)
from aldea.usage.reading import MAX_TAGS, UsageReading

_FOLDER: Final = Path(__file__).parent


def _script(*names: str) -> Script:
    """The script of these files; each uses those before it."""
    return Script("".join((_FOLDER / f"{name}.lua").read_text(encoding="utf-8") for name in names))


ADMIT: Final = _script("money", "tags", "limits", "leases", "admit")
RENEW: Final = _script("money", "meter", "limits", "leases", "renew")
FINISH: Final = _script("money", "meter", "finish")
RESERVE: Final = _script("money", "meter", "limits", "reserve")
ABANDON: Final = _script("tags", "limits", "abandon")

# What was booked for a running request is remembered this long after its last renewal: longer than a partition
# between this process and Redis may last without a bill's being only nearly right.
REMEMBER_RUNNING_MS: Final = 15 * 60 * 1000
# After its end it need only outlive the repetitions of the final reading (60 s) with room for retries.
REMEMBER_FINISHED_MS: Final = 3 * 60 * 1000


class Call(NamedTuple):
    """A script with its keys and arguments, as `RedisLink.call` and `submit` take them."""

    script: Script
    keys: Sequence[str]
    args: Sequence[str | int]


def admit(request: Application, lease_ttl_ms: int) -> Call:
    """Request admission."""
    return Call(
        ADMIT,
        (USAGE_STREAM,),
        (
            request.request_id,
            request.credential_sha256,
            TRANSCRIBE_SCOPE,
            lease_ttl_ms,
            month(request.started_ms),
            request.opening(),
            request.tags_json(),
            MAX_TAGS,
            request.service,
            request.model,
        ),
    )


def renew(grant: Grant, reading: UsageReading, acknowledged_ms: int, lease_ttl_ms: int) -> Call:
    """Extend the lease and write a checkpoint. `acknowledged_ms`: the audio total of the last response that came."""
    return Call(
        RENEW,
        (
            leases_key(grant.project_id),
            used_key(grant.project_id, month(grant.started_ms)),
            metered_key(grant.request_id),
            USAGE_STREAM,
            spent_key(grant.account_id),
        ),
        (
            grant.request_id,
            lease_ttl_ms,
            int(reading.rank),
            reading.seq,
            reading.audio_ms,
            acknowledged_ms,
            reading.to_json(),
            REMEMBER_RUNNING_MS,
            grant.authority,
            grant.project_id,
            grant.account_id,
            grant.micros_per_hour,
        ),
    )


def finish(grant: Grant, reading: UsageReading, acknowledged_ms: int) -> Call:
    """Release the lease and write the final reading."""
    return Call(
        FINISH,
        (
            leases_key(grant.project_id),
            used_key(grant.project_id, month(grant.started_ms)),
            metered_key(grant.request_id),
            USAGE_STREAM,
            spent_key(grant.account_id),
        ),
        (
            grant.request_id,
            int(reading.rank),
            reading.seq,
            reading.audio_ms,
            acknowledged_ms,
            reading.to_json(),
            REMEMBER_FINISHED_MS,
            grant.micros_per_hour,
            grant.counted,
        ),
    )


def reserve(grant: Grant, audio_ms: int) -> Call:
    """Book a recorded file's estimated audio (at least 1 ms) ahead."""
    return Call(
        RESERVE,
        (
            used_key(grant.project_id, month(grant.started_ms)),
            metered_key(grant.request_id),
            spent_key(grant.account_id),
            RESERVED,
        ),
        (
            grant.request_id,
            audio_ms,
            REMEMBER_RUNNING_MS,
            grant.authority,
            grant.project_id,
            grant.account_id,
            grant.micros_per_hour,
            grant.counted,
        ),
    )


def abandon(request: Application, status: int) -> Call:
    """Take back an admission whose response never came. `status`: what the client got instead."""
    return Call(
        ABANDON,
        (USAGE_STREAM,),
        (request.request_id, request.closing(status), request.tags_json(), MAX_TAGS, request.credential_sha256),
    )
