"""Admission of a request: Redis decides; while Redis is unavailable, memory decides within narrow limits."""

import asyncio
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Final, NoReturn, Self, get_args

import structlog
from prometheus_client import Counter

from aldea import errors, ids
from aldea.admission import rate_limits, refusals, scripts
from aldea.admission.grant import Application, Grant, Verdict
from aldea.admission.known_keys import KnownKey, KnownKeys
from aldea.admission.outbox import Outbox
from aldea.credentials import Credential
from aldea.redis.errors import RedisError, RedisUnavailable
from aldea.redis.link import RedisLink
from aldea.redis.prices import price_at
from aldea.redis.schema import read_tags
from aldea.tags import checked_tags
from aldea.tracing.spans import Kind, redis_call, traced
from aldea.tracing.trace import Trace
from aldea.usage.features import requested
from aldea.usage.reading import Rank, Service, UsageReading, fitting_text

log = structlog.get_logger("aldea.admission")

# A lease lives this long without renewal: a killed process frees its slots within it, and two renewals in a row may
# fail before a running request loses its own.
LEASE_TTL_MS: Final = 30_000
# Requests admitted from memory that one process may hold while Redis is unavailable. Enough to bridge an
# outage for clients that reconnect; too few for a fleet to run past every project's limits for long.
MAX_OFFLINE: Final = 200
# Prices remembered for that time, by plan, service and model, which clients name as they like.
MAX_PRICES: Final = 1000

REFUSALS: Final = Counter("aldea_admission_refusals_total", "Requests refused at admission", ["reason"])
ADMISSIONS: Final = Counter("aldea_admissions_total", "Requests admitted", ["service"])
_ADMITTED: Final = {service: ADMISSIONS.labels(service) for service in get_args(Service)}
OFFLINE_ADMISSIONS: Final = Counter(
    "aldea_offline_admissions_total", "Requests admitted from memory while Redis was unavailable"
)

_ADMIT_CALL: Final = redis_call("admit")


class Admission:
    """Who may start a request. One per process; `aclose` (or `async with`) writes what still waits."""

    def __init__(
        self,
        link: RedisLink,
        *,
        lane: str,
        lease_ttl_ms: int = LEASE_TTL_MS,
        max_offline: int = MAX_OFFLINE,
        known_keys: KnownKeys | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        """`lane`: the lane that this process serves, as it is named in readings. The rest is for tests to shorten."""
        self._link = link
        self._lane = lane
        self._lease_ttl_ms = lease_ttl_ms
        self._max_offline = max_offline
        self._known = known_keys if known_keys is not None else KnownKeys()
        self.outbox = outbox if outbox is not None else Outbox(link, lease_ttl_ms=lease_ttl_ms)
        self.outbox.on_verdict(self._learn)
        self._prices: dict[tuple[str, str, str], tuple[str, str]] = {}
        self.link = link

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Write what still waits for Redis, as far as it can be reached. Close the link after this."""
        await self.outbox.aclose()

    async def admit(
        self,
        credential: Credential,
        *,
        request_id: str,
        service: Service,
        path: str,
        tags: Iterable[str] = (),
        query: Iterable[tuple[str, str]] = (),
        trace: Trace | None = None,
    ) -> Grant:
        """Let a request in, its lease taken and its opening reading written; a refusal consumes nothing.

        `query`: its decoded pairs, for the model and features that its readings name.
        `request_id` is a UUIDv7, whose time is the request's start. Raises errors.BadRequest (tags), InvalidAuth,
        TooManyRequests (rate or concurrency), PaymentRequired (quota, budget or balance), InsufficientPermissions
        (scope, suspended project), or ServiceUnavailable (Redis is unavailable, or has not loaded the keys yet).
        """
        model, features = requested(query)
        request = Application(
            request_id=request_id,
            started_ms=ids.started_ms(request_id),
            credential_sha256=credential.sha256,
            service=service,
            lane=self._lane,
            path=fitting_text(path),
            tags=tuple(dict.fromkeys(checked_tags(tags))),
            model=fitting_text(model),
            features=features,
            trace=trace,
        )
        try:
            with traced(trace, "admit", Kind.CLIENT, _ADMIT_CALL):
                response = await self._link.submit(*scripts.admit(request, self._lease_ttl_ms))
        except RedisUnavailable as error:
            grant = self._admit_offline(request, error)
        except asyncio.CancelledError:
            # Whether it was admitted is not known, and nobody is left to end it.
            self.outbox.abandon(request, status=0)
            raise
        else:
            if response[0] != "admitted":
                self._refuse(request, *response[1:-1])
            grant = self._admitted(request, response)
        _ADMITTED[service].inc()
        return grant

    async def reserve(self, grant: Grant, audio_ms: int) -> None:
        """Book a recorded file's estimated audio before it is sent on; its final reading corrects that.

        Raises PaymentRequired if a limit has no room for it. Without Redis nothing is reserved.
        """
        if grant.offline or audio_ms < 1:
            return
        try:
            response = await self._link.submit(*scripts.reserve(grant, audio_ms))
        except RedisUnavailable:
            return
        except RedisError:  # a user without the right to it, say
            log.exception("audio not reserved", request_id=grant.request_id)
            return
        if response[0] == "refused":
            REFUSALS.labels(response[1]).inc()
            raise refusals.no_room(audio_ms, *response[1:])

    def finish(self, grant: Grant, final: UsageReading) -> Coroutine[Any, Any, None]:
        """End a request: release its lease and write its final reading in one step. Never raises for Redis' sake.

        While Redis is unavailable the reading waits in memory. Calling it again with the same reading changes nothing.
        """
        return self.outbox.finish(grant, final)

    def _admitted(self, request: Application, response: list[Any]) -> Grant:
        _, project_id, key_id, authority, expires_ms, tags, account_id, plan, *more, _ = response
        of_any, of_model, counted, limits = more
        key_tags = read_tags(tags)
        schedules = (of_model, of_any)
        if account_id:
            if len(self._prices) >= MAX_PRICES:
                self._prices.clear()
            self._prices[plan, request.service, request.model] = schedules
        self._known.remember(
            request.credential_sha256,
            KnownKey(
                project_id=project_id,
                key_id=key_id,
                authority=authority,
                expires_ms=int(expires_ms) if expires_ms else None,
                rates=_rates(limits, key_id, project_id, account_id) if limits else (),
                tags=key_tags,
                account_id=account_id,
                plan=plan,
            ),
        )
        return request.granted(
            project_id=project_id,
            key_id=key_id,
            authority=authority,
            key_tags=key_tags,
            offline=False,
            account_id=account_id,
            micros_per_hour=price_at(request.started_ms, *schedules),
            counted=counted,
            rate_limits=limits,
        )

    def _admit_offline(self, request: Application, cause: RedisUnavailable) -> Grant:
        key = self._known.recall(request.credential_sha256)
        refusal: errors.ApiError | None = None
        if key is None:
            reason, refusal = "redis unavailable", refusals.unavailable()
        elif len(self.outbox.offline) >= self._max_offline:
            reason, refusal = "offline cap", refusals.unavailable()
        elif (wait := self._known.retry_after(key)) > 0:
            reason, refusal = "rate", refusals.too_fast(wait)
        if key is None or refusal is not None:
            if cause.sent:
                self.outbox.abandon(request, status=refusal.status if refusal is not None else 0)
            REFUSALS.labels(reason).inc()
            raise (refusal or refusals.unavailable()) from cause
        grant = request.granted(
            project_id=key.project_id,
            key_id=key.key_id,
            authority=key.authority,
            key_tags=key.tags,
            offline=True,
            account_id=key.account_id,
            micros_per_hour=price_at(
                request.started_ms, *self._prices.get((key.plan, request.service, request.model), ())
            ),
        )
        OFFLINE_ADMISSIONS.inc()
        self.outbox.offline.add(grant.request_id)
        self.outbox.keep(grant, grant.reading(Rank.OPEN, 0))
        return grant

    def _learn(self, grant: Grant, verdict: Verdict) -> None:
        """A renewal says of a running request's credential or project what a new request would be refused with."""
        match verdict:
            case Verdict.REVOKED | Verdict.EXPIRED | Verdict.KEY_QUOTA | Verdict.KEY_BUDGET:
                self._known.distrust(grant.authority)
            case _ if verdict.refused:
                self._known.distrust(grant.project_id)
            case _:
                pass

    def _refuse(
        self,
        request: Application,
        reason: str,
        number: int,
        subject: str = "",
        more: int = 0,
        whose: str = "project",
        limits: str = "",
    ) -> NoReturn:
        """`subject`: the credential or project that may start nothing; the rest as in admit.lua."""
        REFUSALS.labels(reason).inc()
        known = self._known.owner(request.credential_sha256)
        if not subject and known is not None and reason in {"suspended", "quota", "budget", "balance"}:
            subject = known.authority if whose == "key" else known.project_id
        if subject:
            self._known.distrust(subject)
        if reason in {"unknown", "revoked", "expired", "scope"}:
            self._known.forget(request.credential_sha256)
        if reason in {"unknown", "revoked", "expired"}:
            log.info("credential refused", reason=reason, request_id=request.request_id)
        if reason == "rate" and known is not None:
            ids = {"key": known.key_id, "project": known.project_id, "account": known.account_id}
            self._known.hold(request.credential_sha256, number, ids[whose])
        error = refusals.refusal(reason, number, more, whose)
        error.rate_limits = rate_limits.headers(limits)
        raise error


def _rates(limits: str, key_id: str, project_id: str, account_id: str) -> tuple[tuple[str, int], ...]:
    """The requests a minute of what is limited, by the id that this process counts it under."""
    ids = {"key": key_id, "project": project_id, "account": account_id}
    return tuple((ids[one.policy], one.quota) for one in rate_limits.read(limits) if one.policy in ids)
