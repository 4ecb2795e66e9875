"""Given stores and STT servers: each is looked at once, before anything starts, so that a wrong URL costs one line.

What a URL in the environment replaces is not run here, so nobody else would notice before a service fails. Each check
returns what it found as a text, or raises `Unusable`: what was found, what is needed, what to do. No text holds a
password.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from onebox.given.errors import Unusable

# One that has not responded by then is taken for one that never will: a person waits.
DEADLINE_SECONDS: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found of one variable's store: its name, address and version, or why it cannot be used."""

    variable: str
    text: str
    usable: bool
    seconds: float


async def look(environment: Mapping[str, str], *, create_queues: bool = False) -> list[Found]:
    """Look at everything that `environment` gives, all at once, within DEADLINE_SECONDS.

    `create_queues`: queues that do not exist are made; nothing else is changed anywhere.
    """
    # Each with its client library, which takes a while to import: only what is given is.
    checks: dict[str, Callable[[], Awaitable[str]]] = {
        "DATABASE_URL": lambda: _given("database").check(environment["DATABASE_URL"]),
        "REDIS_URL": lambda: _given("cache").check(environment["REDIS_URL"]),
        "SQS_ENDPOINT_URL": lambda: _given("queues").check(environment, create=create_queues),
        "STT_UPSTREAMS": lambda: _given("stt_servers").check(
            environment["STT_UPSTREAMS"], environment.get("STT_UPSTREAM_TOKEN")
        ),
    }
    given = [variable for variable in checks if environment.get(variable)]
    return list(await asyncio.gather(*(_look(variable, checks[variable]) for variable in given)))


def _given(name: str) -> Any:
    return import_module(f"onebox.given.{name}")


async def _look(variable: str, check: Callable[[], Awaitable[str]]) -> Found:
    began = time.monotonic()
    usable = False
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            text = await check()
        usable = True
    except TimeoutError:
        text = f"no response within {DEADLINE_SECONDS:g} s. Start what it names, or correct the address."
    except Unusable as reason:
        text = str(reason)
    return Found(variable=variable, text=text, usable=usable, seconds=time.monotonic() - began)
