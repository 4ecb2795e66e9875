"""The embedded stores themselves, where the platform depends on something that they do not promise."""

import asyncio
from pathlib import Path

from aldea import sqs
from aldea.settings import read
from aldea.tasks import cancel, spawn
from onebox import stores
from onebox.ports import free_port
from onebox.process import Process


async def test_the_queues_survive_a_stop_while_somebody_waits_for_a_message(tmp_path: Path) -> None:
    port = free_port()
    spec = stores.sqs_spec(port, state=tmp_path / "state")
    process = Process(spec, log=tmp_path / "log").start()
    stores.create_queues(port)
    usage, dead = (stores.queue_url(port, name) for name in (stores.USAGE_QUEUE, stores.USAGE_DLQ))
    settings = read(
        sqs.SqsSettings, port=0, sqs_endpoint_url=stores.sqs_url(port), usage_queue_url=usage, usage_dlq_url=dead
    )
    async with sqs.connect(settings) as client:
        assert not await sqs.Queue(client, usage).send(["a reading"])
        waiting = spawn(sqs.Queue(client, dead).receive(wait=20, visibility=30), name="long-poll")
        await asyncio.sleep(0.2)  # whether the poll is open by then changes nothing but how hard the stop is
        # It is given half of a long poll's time.
        assert await asyncio.to_thread(process.stop, 10) == 0
        await cancel(waiting)
    again = Process(spec, log=tmp_path / "log").start()
    try:
        async with sqs.connect(settings) as client:
            (message,) = await sqs.Queue(client, usage).receive(wait=1, visibility=30)
        assert message.body == "a reading"
    finally:
        again.stop()
