"""`python -m backend migrate`: migrates the schema up or down, and the services' roles; many may run at once."""

import asyncio
from pathlib import Path
from typing import Any, Final, Literal

import asyncpg
import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from aldea.postgres import connect_arguments
from backend.schema.roles import grant_roles
from backend.settings import PlanSettings
from backend.usage.money import price_micros

log = structlog.get_logger("backend.schema.migrate")

MIGRATIONS: Final = Path(__file__).resolve().parents[1] / "migrations"
# Any fixed number does; this one spells "aldea" in base 36.
ADVISORY_LOCK: Final = 17_793_298
# A peer that migrates holds the advisory lock for this long at most before we give up.
WAIT_FOR_PEER_SECONDS: Final = 120
# DDL that waits for a lock makes every later query on that table wait behind it; failing and running again is better.
LOCK_TIMEOUT_SECONDS: Final = 5
# A deployment step, not a request: large indexes take minutes.
MIGRATION_SECONDS: Final = 1800.0

Direction = Literal["up", "down"]


def alembic_config() -> Config:
    """Alembic's configuration without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


async def migrate(settings: PlanSettings, direction: Direction = "up", revision: str | None = None) -> None:
    """Migrate up (to `revision`, the newest by default) or down (to `revision`, one step by default).

    On the way up the services' roles are made and given their rights: see `backend.schema.roles`.

    Every runner takes the same advisory lock first, so that of many tasks that start at once one migrates and the
    others find nothing left to do. Raises TimeoutError, OSError or asyncpg's errors.
    """
    config = alembic_config()

    def run(connection: SyncConnection) -> None:
        config.attributes["connection"] = connection
        config.attributes["micros_per_hour"] = price_micros(settings.price_per_hour_usd)
        if direction == "up":
            command.upgrade(config, revision or "head")
            grant_roles(connection)
        else:
            command.downgrade(config, revision or "-1")

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        arguments: dict[str, Any] = connect_arguments(settings, "backend migrate")
        arguments["command_timeout"] = MIGRATION_SECONDS
        arguments["server_settings"] |= {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
        return await asyncpg.connect(**arguments)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with asyncio.timeout(MIGRATION_SECONDS), engine.connect() as connection:
            await connection.execute(text(f"set lock_timeout = '{WAIT_FOR_PEER_SECONDS}s'"))
            # Held by the session, so over all migrations; the server releases it with the connection.
            await connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": ADVISORY_LOCK})
            await connection.execute(text(f"set lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'"))
            await connection.commit()
            await connection.run_sync(run)
            await connection.commit()
            await connection.execute(text("select pg_advisory_unlock(:lock)"), {"lock": ADVISORY_LOCK})
            await connection.commit()
    finally:
        await engine.dispose()
    log.info("migrated", direction=direction, revision=revision or ("head" if direction == "up" else "-1"))
