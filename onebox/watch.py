"""Which services' code has changed since the last look, and starting those again: `make watch`."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from onebox.console import Console
from onebox.home import ROOT

SERVICES_FOLDER: Final = ROOT / "services"
# What every service loads: a change of it concerns them all.
SHARED: Final = "aldea"
# How often the files are looked at. A look takes some milliseconds.
LOOK_SECONDS: Final = 0.5
# What a service reads when it starts; compiled modules and editors' own files change without meaning anything.
_READ_AT_START: Final = frozenset({".py", ".lua", ".html", ".css", ".js", ".svg"})

# A file below the services' folder and when it was last written, in nanoseconds.
Files = Mapping[str, int]


def look(folder: Path = SERVICES_FOLDER) -> Files:
    """Every source file below `folder`, by its path relative to it."""
    found = {}
    for path in folder.rglob("*"):
        if path.suffix in _READ_AT_START and not path.name.startswith("."):
            try:
                found[path.relative_to(folder).as_posix()] = path.stat().st_mtime_ns
            except FileNotFoundError:  # an editor replaced it just now: the next look sees the new one
                continue
    return found


def concerned(before: Files, now: Files, services: Iterable[str]) -> list[str]:
    """The services, in their order, whose code differs between two looks."""
    changed = {path.partition("/")[0] for path, _ in set(before.items()) ^ set(now.items())}
    return [name for name in services if name in changed or SHARED in changed]


async def restart_changed(
    services: Iterable[str],
    restart: Callable[[str], Awaitable[None]],
    console: Console,
    folder: Path = SERVICES_FOLDER,
) -> None:
    """Look at the files of `services` and start again whatever changed, until cancelled."""
    names = list(services)
    known = await asyncio.to_thread(look, folder)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = await asyncio.to_thread(look, folder)
        for name in concerned(known, now, names):
            began = time.monotonic()
            await restart(name)
            console.step(f"{name} has changed and is started again", time.monotonic() - began)
        known = now
