"""The backend's application: its stores, services, background work and endpoints, wired together."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

from aiohttp import web

from aldea import sqs
from aldea.address_guard import AddressGuard, GuardedClient
from aldea.postgres import DATABASE, PLAN_FOR_EACH_VALUE, provide_database
from aldea.redis.link import RedisLink
from aldea.service.lifecycle import LIFECYCLE, new_app
from aldea.tasks import cancel, spawn
from aldea.tracing.requests import trace_requests
from backend.accounts import handlers as accounts
from backend.accounts.own_account import OWN_ACCOUNT, OwnAccount
from backend.accounts.service import ACCOUNTS, AccountService
from backend.alerts import handlers as alerts
from backend.alerts.mail import mailer
from backend.alerts.reports import Reports
from backend.alerts.schedule import Schedule
from backend.alerts.service import ALERTS, AlertService
from backend.alerts.thresholds import Thresholds
from backend.alerts.worker import DeliveryWorker
from backend.api.authentication import AUTHENTICATOR, Authenticator
from backend.api.browsers import protect
from backend.api.client_address import FORWARDED_HOPS
from backend.api.endpoint import MAX_BODY_BYTES, Endpoint, register
from backend.api.throttle import THROTTLE, Throttle
from backend.audit import handlers as audit
from backend.audit.service import AUDIT, AuditService
from backend.billing import handlers as billing
from backend.catalogue import handlers as catalogue
from backend.catalogue.absent import refuse_what_is_absent
from backend.changes import Changes
from backend.credits import handlers as credits_granted
from backend.credits.expiry import Expiry
from backend.credits.service import CREDITS, CreditService
from backend.credits.settlement import Settlement
from backend.fleet import handlers as fleet
from backend.fleet.service import FLEET, FleetService
from backend.idempotency.service import IDEMPOTENCY, Forgetting, Idempotency
from backend.key_sync import KeySync
from backend.keys import handlers as keys
from backend.keys.last_used import write_last_used
from backend.keys.service import KEYS, KeyService
from backend.limits import handlers as limits
from backend.limits.service import LIMITS, LimitService
from backend.live import handlers as live
from backend.live.leases import Leases
from backend.live.service import LIVE, LiveService
from backend.members import handlers as members
from backend.members.service import MEMBERS, MemberService
from backend.moves import handlers as moves
from backend.moves.service import MOVES, MoveService
from backend.operators import handlers as operators
from backend.operators.service import OPERATORS, OperatorService
from backend.pipeline import stream as publisher_stream
from backend.pipeline.orphans import Orphans
from backend.pipeline.publisher import Publisher
from backend.prices import handlers as prices
from backend.prices.service import PRICES, PriceService
from backend.projects import handlers as projects
from backend.projects.service import PROJECTS, ProjectService
from backend.reference.routes import serve_reference
from backend.replication.mirror import Mirror
from backend.replication.mirrored_rows import MirroredRows
from backend.replication.notify import Listener
from backend.replication.propagation import PROPAGATION, Propagation
from backend.schema.version import SchemaVersion
from backend.settings import BackendSettings
from backend.statements import handlers as statements
from backend.statements.service import STATEMENTS, StatementService
from backend.status import handlers as status
from backend.status.service import STATUS, StatusService
from backend.status.service import Forgetting as ForgettingRuns
from backend.sweeping import Sweeping
from backend.tokens import handlers as tokens
from backend.tokens.service import TOKENS, TokenService
from backend.usage import handlers as usage
from backend.usage.partitions import Partitions
from backend.usage.service import USAGE, UsageService

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *accounts.ENDPOINTS,
    *projects.ENDPOINTS,
    *keys.ENDPOINTS,
    *members.ENDPOINTS,
    *tokens.ENDPOINTS,
    *usage.ENDPOINTS,
    *billing.ENDPOINTS,
    *statements.ENDPOINTS,
    *catalogue.ENDPOINTS,
    *live.ENDPOINTS,
    *audit.ENDPOINTS,
    *limits.ENDPOINTS,
    *moves.ENDPOINTS,
    *operators.ENDPOINTS,
    *credits_granted.ENDPOINTS,
    *prices.ENDPOINTS,
    *alerts.ENDPOINTS,
    *status.ENDPOINTS,
    *fleet.ENDPOINTS,
)

# What opens with the application and closes with it.
Context: TypeAlias = Callable[[web.Application], AsyncIterator[None]]

SETTINGS: Final = web.AppKey("settings", BackendSettings)
REDIS: Final = web.AppKey("redis", RedisLink)


def make_app(settings: BackendSettings) -> web.Application:
    """The whole application; its stores open when it starts."""
    app = new_app(client_max_size=MAX_BODY_BYTES)
    app[SETTINGS] = settings
    app[FORWARDED_HOPS] = settings.forwarded_hops
    provide_database(app, settings, "backend", PLAN_FOR_EACH_VALUE)
    app.cleanup_ctx.append(_redis(settings))
    app.cleanup_ctx.append(_services(settings))
    app.cleanup_ctx.append(_background)
    app.cleanup_ctx.append(_publisher(settings))
    app.cleanup_ctx.append(_sweeps(settings))
    register(app, ENDPOINTS)
    refuse_what_is_absent(app)
    serve_reference(app, ENDPOINTS)
    protect(app, settings.console_origin)
    if settings.otel_exporter_otlp_endpoint is not None:
        trace_requests(app, settings.continues_trace)
    return app


def _redis(settings: BackendSettings) -> Context:
    async def redis(app: web.Application) -> AsyncIterator[None]:
        async with RedisLink.of(settings) as link:
            app[REDIS] = link
            app[LIFECYCLE].ready_check("redis", link.ping)
            yield

    return redis


def _services(settings: BackendSettings) -> Context:
    async def services(app: web.Application) -> AsyncIterator[None]:
        database = app[DATABASE]
        app[LIFECYCLE].ready_check("postgres", database.check)
        schema = SchemaVersion(database)
        app[LIFECYCLE].ready_check("schema", schema.check)
        app[AUTHENTICATOR] = Authenticator(database)
        app[PROPAGATION] = Propagation(Mirror(app[REDIS], MirroredRows(database)), app[AUTHENTICATOR])
        changes = Changes(database, app[PROPAGATION])
        app[IDEMPOTENCY] = Idempotency(database)
        app[THROTTLE] = Throttle(app[REDIS])
        app[ACCOUNTS] = AccountService(database, changes, app[THROTTLE], settings)
        app[OWN_ACCOUNT] = OwnAccount(app[ACCOUNTS], changes)
        leases = Leases(app[REDIS])
        app[PROJECTS] = ProjectService(database, changes, settings)
        app[TOKENS] = TokenService(database, changes, app[PROPAGATION].mirror, app[THROTTLE])
        app[MEMBERS] = MemberService(database, changes)
        app[KEYS] = KeyService(database, changes)
        app[USAGE] = UsageService(database, settings)
        app[LIVE] = LiveService(database, leases)
        app[AUDIT] = AuditService(database)
        app[OPERATORS] = OperatorService(database, changes, leases)
        app[LIMITS] = LimitService(database, changes, leases)
        app[CREDITS] = CreditService(database, changes)
        app[PRICES] = PriceService(database, changes)
        app[STATEMENTS] = StatementService(database)
        app[MOVES] = MoveService(changes, app[STATEMENTS])
        app[STATUS] = StatusService(database, changes, app[THROTTLE])
        app[FLEET] = FleetService(database, app[REDIS], app[STATUS])
        watching = spawn(schema.watch(), name="schema-version")
        async with _alerts(app, settings, changes):
            yield
        await cancel(watching)

    return services


@asynccontextmanager
async def _alerts(app: web.Application, settings: BackendSettings, changes: Changes) -> AsyncIterator[None]:
    database, guard = app[DATABASE], AddressGuard(allow_loopback=settings.allow_loopback_urls)
    sending = mailer(None if settings.mail_url is None else settings.mail_url.get_secret_value(), settings.mail_from)
    async with GuardedClient(guard) as client:
        worker = DeliveryWorker(database, client, sending, console=settings.console_origin)
        app[ALERTS] = AlertService(database, changes, app[THROTTLE], guard, worker)
        running: tuple[Sweeping, ...] = (
            Thresholds(database, worker.wake),
            Schedule(database, worker.wake),
            Reports(database, app[REDIS], worker.wake),
        )
        for one in running:
            one.start()
        delivering = spawn(worker.run(), name="alert-deliveries")
        yield
        for one in running:
            await one.stop()
        await cancel(delivering)


def _publisher(settings: BackendSettings) -> Context:
    async def publisher(app: web.Application) -> AsyncIterator[None]:
        link = publisher_stream.connect(settings.redis_url.get_secret_value())
        async with link, sqs.connect(settings) as queues:
            usage = sqs.Queue(queues, settings.usage_queue_url)
            stream = publisher_stream.UsageStream(link, claim_idle_ms=round(settings.usage_claim_seconds * 1000))
            running = Publisher(stream, usage, sqs.Queue(queues, settings.usage_dlq_url))
            # Not over the publisher's link, which does not decode responses.
            orphans = Orphans(app[DATABASE], app[REDIS], usage, lease_ttl_seconds=settings.lease_ttl_seconds)
            settlement = Settlement(app[DATABASE], app[REDIS], app[PROPAGATION].mirror, usage)
            running.start()
            orphans.start()
            settlement.start()
            yield
            await settlement.stop()
            await orphans.stop()
            await running.stop()

    return publisher


def _sweeps(settings: BackendSettings) -> Context:
    async def sweeps(app: web.Application) -> AsyncIterator[None]:
        database = app[DATABASE]
        partitions = Partitions(database, retention_months=settings.usage_retention_months)
        running: tuple[Sweeping, ...] = (partitions, Expiry(database), Forgetting(database), ForgettingRuns(database))
        for one in running:
            one.start()
        yield
        for one in reversed(running):
            await one.stop()

    return sweeps


async def _background(app: web.Application) -> AsyncIterator[None]:
    database, authenticator, mirror = app[DATABASE], app[AUTHENTICATOR], app[PROPAGATION].mirror
    listener = Listener(database, authenticator.forget_all)
    key_sync = KeySync(database, app[REDIS], mirror, listener)
    app[LIFECYCLE].ready_check("keys", key_sync.check)
    tasks = [
        spawn(key_sync.run(), name="key-sync"),
        spawn(write_last_used(database, authenticator), name="last-used"),
    ]
    yield
    await cancel(*tasks)
