"""The worker as a service: health on its port, consumers beside it, the batch in hand finished before it stops."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

import structlog
from aiohttp import web

from aldea import sqs
from aldea.postgres import DATABASE, provide_database
from aldea.service.lifecycle import LIFECYCLE, Lifecycle, NotReady, new_app
from aldea.tasks import cancel, spawn
from sqs_updater import metrics
from sqs_updater.consumer import Consumer, FailureRun
from sqs_updater.settings import Settings
from sqs_updater.writer import Writer

log = structlog.get_logger("sqs_updater")

DEPTH_SECONDS: Final = 30.0
# A long poll that works returns within this.
LONGEST_RECEIVE_SECONDS: Final = sqs.MAX_WAIT_SECONDS + sqs.CALL_SECONDS


def make_app(settings: Settings) -> web.Application:
    """Everything wired."""
    app = new_app()
    provide_database(app, settings, "sqs_updater")

    async def consuming(app: web.Application) -> AsyncIterator[None]:
        async with sqs.connect(settings) as client:
            usage = sqs.Queue(client, settings.usage_queue_url)
            dead_letters = sqs.Queue(client, settings.usage_dlq_url)
            writer, run = Writer(app[DATABASE]), FailureRun()
            workers = [
                Consumer(usage, dead_letters, writer, run, visibility_seconds=settings.visibility_seconds)
                for _ in range(settings.workers)
            ]
            tasks = [spawn(worker.run(), name=f"consumer-{index}") for index, worker in enumerate(workers)]
            watcher = spawn(_watch(usage, dead_letters, workers), name="queue-depth")

            async def finish(_lifecycle: Lifecycle) -> None:
                for worker in workers:
                    worker.stop()
                await asyncio.wait(tasks, timeout=settings.drain_seconds)

            async def consumes() -> None:
                if run.halted:
                    raise NotReady("halted: nothing but rejected readings; see the log")

            lifecycle = app[LIFECYCLE]
            lifecycle.on_drain(finish)
            lifecycle.ready_check("postgres", writer.probe)
            lifecycle.ready_check("usage queue", lambda: _reachable(usage))
            lifecycle.ready_check("consumers", consumes)
            yield
            await cancel(watcher, *tasks)

    app.cleanup_ctx.append(consuming)
    return app


async def _reachable(queue: sqs.Queue) -> None:
    await queue.depth()


async def _watch(usage: sqs.Queue, dead_letters: sqs.Queue, workers: Sequence[Consumer]) -> None:
    """Show how much waits in both queues, for ever, and for how long if nobody receives it."""
    while True:
        try:
            waiting = await usage.depth()
            metrics.QUEUE_DEPTH.set(waiting.total)
            metrics.DEAD_LETTERS.set((await dead_letters.depth()).total)
            unheard = min(worker.unheard_seconds for worker in workers)
            if waiting.visible and unheard > LONGEST_RECEIVE_SECONDS:
                # PostgreSQL is unavailable, or consuming is halted: no receive shows the age, and it grows.
                metrics.QUEUE_AGE.set(unheard)
        except sqs.SqsUnavailable as error:
            log.warning("queue depth unknown", error=str(error))
        await asyncio.sleep(DEPTH_SECONDS)
