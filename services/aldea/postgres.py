"""PostgreSQL through asyncpg: one pool per process, every wait with a deadline, RDS IAM tokens as passwords."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import unquote, urlencode, urlsplit

import asyncpg
import asyncpg.pool
import structlog
from aiohttp import web
from pydantic import Field, SecretStr, field_validator, model_validator

from aldea.errors import ServiceUnavailable
from aldea.settings import ServiceSettings
from aldea.tasks import being_cancelled

log = structlog.get_logger("aldea.postgres")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Isolation = Literal["read_committed", "repeatable_read", "serializable"]

# A new connection (TCP, TLS, authentication) must be open within this.
CONNECT_SECONDS: Final = 5.0
# A request waits this long for a free connection of the pool, a new one included; then the client is to try again.
ACQUIRE_SECONDS: Final = 6.0
# The server ends a statement after statement_timeout; the client gives up this much later, should it not respond.
CLIENT_GRACE_SECONDS: Final = 2.0
# A session that began a transaction and forgot it is ended by the server: it would hold locks and stop vacuum.
IDLE_IN_TRANSACTION_SECONDS: Final = 30.0
# A connection that was not used for this long is closed; an IAM role's revocation then reaches idle pools too.
IDLE_SECONDS: Final = 240.0
# RDS accepts an IAM token for 15 minutes after it was signed (Amazon RDS User Guide, "IAM database authentication").
IAM_TOKEN_SECONDS: Final = 900
# Reading the container's credentials and signing; a cold credentials endpoint takes a moment.
IAM_SIGN_SECONDS: Final = 4.0

# What a server that became unavailable, restarts, or refuses new sessions looks like from here.
_GONE: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.OperatorInterventionError,
    asyncpg.InternalClientError,
)


class PostgresSettings(ServiceSettings):
    """What a service that uses PostgreSQL reads."""

    database_url: SecretStr = Field(description="the database, as postgresql://user:password@host:port/name")
    database_iam: bool = Field(default=False, description="true to sign in with an RDS IAM token as the password")
    database_sslrootcert: str | None = Field(
        None, description="a file of CA certificates (PEM); the server's certificate and name are verified with it"
    )
    database_pool_size: int = Field(10, ge=1, le=100, description="connections of this process, 1 to 100")
    database_statement_seconds: float = Field(
        10.0, gt=0, le=600, description="seconds after which the server ends a statement, up to 600"
    )
    aws_region: str = Field("us-west-2", description="the AWS region, for example us-west-2")

    @field_validator("database_url")
    @classmethod
    def _is_a_postgres_url(cls, value: SecretStr) -> SecretStr:
        parts = urlsplit(value.get_secret_value())
        if parts.scheme not in {"postgresql", "postgres"} or not parts.path.strip("/"):
            raise ValueError("not a postgresql:// URL with a database name")
        return value

    @model_validator(mode="after")
    def _iam_needs_a_verified_server(self) -> "PostgresSettings":
        if self.database_iam and not self.database_sslrootcert:
            # A token is a password for 15 minutes; it goes to no server that has not proved its name.
            raise ValueError("DATABASE_IAM=true needs DATABASE_SSLROOTCERT, the CA file that the server is verified by")
        return self


class DatabaseUnavailable(ServiceUnavailable):
    """PostgreSQL does not respond, or not in time; nothing is known about the statement that was under way."""


def unavailable(error: BaseException) -> DatabaseUnavailable:
    """The error for a request that met `error`, one of the ways in which a server is unavailable."""
    log.warning("postgres unavailable", error=f"{type(error).__name__}: {error}")
    return DatabaseUnavailable("The database does not respond at the moment. Try again in a few seconds.")


def _busy() -> DatabaseUnavailable:
    log.warning("all connections to postgres are in use", seconds=ACQUIRE_SECONDS)
    return DatabaseUnavailable("Too many requests wait for the database at the moment. Try again in a few seconds.")


def connect_arguments(settings: PostgresSettings, application: str) -> dict[str, Any]:
    """Keyword arguments for `asyncpg.connect` and `asyncpg.create_pool`. `application`: the name the server shows."""
    url = settings.database_url.get_secret_value()
    arguments: dict[str, Any] = {
        "dsn": url,
        "timeout": CONNECT_SECONDS,
        "command_timeout": settings.database_statement_seconds + CLIENT_GRACE_SECONDS,
        "server_settings": {
            "application_name": application,
            "statement_timeout": str(round(settings.database_statement_seconds * 1000)),
            "idle_in_transaction_session_timeout": str(round(IDLE_IN_TRANSACTION_SECONDS * 1000)),
            "timezone": "UTC",
            # Statements here take milliseconds; compiling one takes a hundred.
            "jit": "off",
        },
    }
    if settings.database_sslrootcert:
        # create_default_context verifies the chain and the host name: libpq's verify-full.
        arguments["ssl"] = ssl.create_default_context(cafile=settings.database_sslrootcert)
    if settings.database_iam:
        parts = urlsplit(url)
        arguments["password"] = iam_password(
            parts.hostname or "", parts.port or 5432, unquote(parts.username or ""), settings.aws_region
        )
    return arguments


def iam_password(host: str, port: int, user: str, region: str) -> Callable[[], Awaitable[str]]:
    """A password callable for asyncpg: every new connection signs a token of its own from the task's credentials."""
    # Loaded only where a token is the password: it is a fifth of what a command of the backend reads at its start.
    from aiobotocore.session import AioSession  # noqa: PLC0415
    from botocore.auth import SigV4QueryAuth  # noqa: PLC0415
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415

    session = AioSession()

    async def token() -> str:
        async with asyncio.timeout(IAM_SIGN_SECONDS):
            credentials = await session.get_credentials()
            if credentials is None:
                raise DatabaseUnavailable("This process has no AWS credentials to sign in to the database with.")
            frozen = await credentials.get_frozen_credentials()
        query = urlencode({"Action": "connect", "DBUser": user})
        request = AWSRequest(method="GET", url=f"https://{host}:{port}/?{query}")
        SigV4QueryAuth(frozen, "rds-db", region, expires=IAM_TOKEN_SECONDS).add_auth(request)
        return str(request.url).removeprefix("https://")

    return token


class Database:
    """The process's pool. It starts without a server and finds it when it comes; a lost one is a 503, not a crash."""

    def __init__(
        self, pool: "asyncpg.Pool[asyncpg.Record]", arguments: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Use `open_database`; a test may bring its own pool. `arguments`: what makes a connection beside the pool."""
        self.pool = pool
        self._arguments = arguments

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for single statements (each its own transaction). Raises DatabaseUnavailable."""
        try:
            # Not the pool's own timeout: before Python 3.12 that costs a task for each connection.
            try:
                async with asyncio.timeout(ACQUIRE_SECONDS):
                    connection = await self.pool.acquire()
            except TimeoutError:
                if self._all_in_use():
                    raise _busy() from None
                raise
            try:
                yield connection
            finally:
                await self.pool.release(connection, timeout=CLIENT_GRACE_SECONDS)
        except _GONE as error:
            if being_cancelled():  # the connection broke while it was given back
                raise asyncio.CancelledError from error
            raise unavailable(error) from error

    @asynccontextmanager
    async def own_connection(self) -> AsyncIterator[Connection]:
        """A connection beside the pool's, for a caller that keeps it (a listener). Raises DatabaseUnavailable."""
        try:
            connection = await asyncpg.connect(**self._arguments)
            try:
                yield connection
            finally:
                try:
                    await connection.close(timeout=CLIENT_GRACE_SECONDS)
                except TimeoutError:
                    connection.terminate()
        except _GONE as error:
            if being_cancelled():
                raise asyncio.CancelledError from error
            raise unavailable(error) from error

    def _all_in_use(self) -> bool:
        """Whether this process is its own queue: every connection is open and in use."""
        return self.pool.get_size() >= self.pool.get_max_size() and self.pool.get_idle_size() == 0

    @asynccontextmanager
    async def transaction(self, isolation: Isolation = "read_committed") -> AsyncIterator[Connection]:
        """A connection inside one transaction, committed at the end. Raises DatabaseUnavailable."""
        async with self.connection() as connection, connection.transaction(isolation=isolation):
            yield connection

    async def check(self) -> None:
        """Readiness: raise unless the server responds."""
        async with self.connection() as connection:
            await connection.execute("select 1")


async def _as_it_is(_connection: Connection) -> None:
    """Give a connection back without a request to the server to reset it, a round trip after every use.

    Nothing here leaves anything behind in a session (no settings but `set local`, no session locks, no listening that
    is not ended); asyncpg itself ends a transaction that was left open.
    """


# A plan for any value knows neither the period nor the page's length, and sorts a project's whole usage for its newest
# ten: 9 ms instead of one at half a million requests. For pools whose statements query periods.
PLAN_FOR_EACH_VALUE: Final[Mapping[str, str]] = MappingProxyType({"plan_cache_mode": "force_custom_plan"})


@asynccontextmanager
async def open_database(
    settings: PostgresSettings, application: str, server_settings: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Database]:
    """The process's `Database`, closed at the end. It does not wait for the server to be there."""
    arguments = connect_arguments(settings, application)
    arguments["server_settings"] |= server_settings
    pool = await asyncpg.create_pool(
        **arguments,
        min_size=0,
        max_size=settings.database_pool_size,
        max_inactive_connection_lifetime=IDLE_SECONDS,
        reset=_as_it_is,
    )
    try:
        yield Database(pool, arguments)
    finally:
        try:
            await asyncio.wait_for(pool.close(), CLIENT_GRACE_SECONDS)
        except TimeoutError:
            pool.terminate()


DATABASE: Final = web.AppKey("database", Database)


def provide_database(
    app: web.Application,
    settings: PostgresSettings,
    application: str,
    server_settings: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Open the `Database` with the application, as `app[DATABASE]`, and close it with it."""

    async def database(app: web.Application) -> AsyncIterator[None]:
        async with open_database(settings, application, server_settings) as found:
            app[DATABASE] = found
            yield

    app.cleanup_ctx.append(database)
