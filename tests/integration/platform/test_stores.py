"""The embedded stores themselves, where the platform depends on something that they do not promise."""

import asyncio
from pathlib import Path

import psutil
import pytest
import redis

from aldea import sqs
from aldea.settings import read
from aldea.sqs_settings import SqsSettings
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
        SqsSettings, port=0, sqs_endpoint_url=stores.sqs_url(port), usage_queue_url=usage, usage_dlq_url=dead
    )
    async with sqs.connect(settings) as client:
        assert not await sqs.Queue(client, usage).send(["a reading"])
        waiting = spawn(sqs.Queue(client, dead).receive(wait=20, visibility=30), name="long-poll")
        await asyncio.sleep(0.2)  # whether the poll is open by then changes nothing but how hard the stop is
        # It is given less than a long poll's time.
        assert await asyncio.to_thread(process.stop, 15) == 0
        await cancel(waiting)
    again = Process(spec, log=tmp_path / "log").start()
    try:
        async with sqs.connect(settings) as client:
            (message,) = await sqs.Queue(client, usage).receive(wait=1, visibility=30)
        assert message.body == "a reading"
    finally:
        again.stop()


def test_redis_requires_its_password_and_keeps_its_files_to_its_owner(tmp_path: Path) -> None:
    port, data, password = free_port(), tmp_path / "redis", "not-for-the-process-list"
    data.mkdir()
    (data / "appendonly.aof").touch(mode=0o644)
    process = Process(stores.redis_spec(data, port, password), log=tmp_path / "log").start()
    try:
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with redis.Redis.from_url(stores.redis_url(port, password)) as client:
            client.set("a", "b")
            client.bgrewriteaof()
            while client.info("persistence")["aof_rewrite_in_progress"]:
                client.ping()
        files = [path for path in data.rglob("*") if path.is_file()]
        assert any("appendonly" in path.name for path in files)
        assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
        assert data.stat().st_mode & 0o777 == 0o700
        assert password not in " ".join(psutil.Process(process.pid).cmdline())
    finally:
        process.stop()
    assert password not in (tmp_path / "log").read_text()
