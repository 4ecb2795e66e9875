"""A service run with a look inside: `/inspect` beside its metrics reports its tasks and objects.

`INSPECTED=ws_proxy python -m tests.support.inspected` runs that service as `python -m ws_proxy` would. It needs
METRICS_PORT.
"""

import asyncio
import gc
import os
import runpy
import sys
from collections import Counter

from aiohttp import web

from aldea import metrics
from aldea.admission import outbox

# What a stream and its opening consist of. A timer or a callback that is left over keeps one of these alive.
KINDS = frozenset(
    {"Session", "Meter", "Relay", "Leg", "FrameScanner", "_Insertion", "_Entry", "_Opening", "ResponseReader", "Opened"}
    | {"Placement", "Continuation", "ReplayWindow", "Delivery"}
)

_exposition_app = metrics.exposition_app


async def _inspect(_request: web.Request) -> web.Response:
    gc.collect()  # a cycle that the collector would find is no leak
    own = asyncio.current_task()
    tasks = Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks() if task is not own)
    kinds = Counter(type(found).__name__ for found in gc.get_objects())
    objects = {kind: kinds[kind] for kind in KINDS if kinds[kind]}
    admissions = kinds["Application"]  # the requests that wait for Redis to admit them
    blocks = sys.getallocatedblocks()
    return web.json_response({"tasks": tasks, "objects": objects, "admissions": admissions, "blocks": blocks})


def _with_inspection() -> web.Application:
    app = _exposition_app()
    app.router.add_get("/inspect", _inspect)
    return app


if __name__ == "__main__":
    # How long finals are kept for a repetition, shortened where a test is to see that memory stays flat.
    outbox.REPEAT_SECONDS = float(os.environ.get("INSPECTED_REPEAT_SECONDS", outbox.REPEAT_SECONDS))  # type: ignore[misc]
    metrics.exposition_app = _with_inspection
    runpy.run_module(os.environ["INSPECTED"], run_name="__main__")
