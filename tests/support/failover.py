"""Two Redis servers behind one name, as ElastiCache has them: one is the primary, the other follows it, and they swap.

The name is a TCP forwarder. As with DNS, those who are connected stay with the server that they reached; who connects
anew reaches the one that the name points to now.
"""

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import redis.asyncio as redis

from aldea.tasks import cancel, spawn
from onebox import stores
from onebox.ports import free_port
from onebox.process import Process, ProcessSpec

_CHUNK: Final = 1 << 16
_SYNC_SECONDS: Final = 90.0


class Name:
    """A loopback port that leads to whichever port it points to when a connection is made.

    `delay`: seconds that each response takes longer, as over a network.
    """

    def __init__(self, target: int, *, delay: float = 0.0) -> None:
        self.target = target
        self._delay = delay
        self.port = free_port()
        self._server: asyncio.Server | None = None
        self._carrying: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        await cancel(*self._carrying)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = spawn(self._carry(reader, writer), name="name")
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far: asyncio.StreamWriter | None = None
        try:
            found, far = await asyncio.open_connection("127.0.0.1", self.target)
            ways = [spawn(_pump(reader, far, 0), name="there"), spawn(_pump(found, writer, self._delay), name="back")]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await cancel(*ways)
        except OSError:
            pass
        finally:
            for end in (writer, far):
                if end is not None:
                    end.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            if delay:
                await asyncio.sleep(delay)
            writer.write(data)
            await writer.drain()


class Pair:
    """Two Redis servers and their name. Use `start` and `stop`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ports = [free_port(), free_port()]
        self.processes: list[Process] = []
        self.primary = 0
        self.name = Name(self.ports[0])

    @property
    def url(self) -> str:
        """Where clients find the primary."""
        return stores.redis_url(self.name.port)

    @property
    def replica(self) -> int:
        """Which of the two follows."""
        return 1 - self.primary

    def direct(self, number: int) -> "redis.Redis":
        """A client of one of the two, whatever its role."""
        return redis.from_url(stores.redis_url(self.ports[number]), decode_responses=True)

    def specs(self) -> list[ProcessSpec]:
        """Both servers, to be started."""
        found = [stores.redis_spec(self._folder / f"redis-{n}", port) for n, port in enumerate(self.ports, start=1)]
        return [replace(spec, name=f"redis-{n}") for n, spec in enumerate(found, start=1)]

    async def start(self) -> None:
        """Both servers, the second following the first, and the name."""
        for spec in self.specs():
            process = Process(spec, log=self._folder / f"{spec.name}.log")
            process.launch()
            self.processes.append(process)
        for process in self.processes:
            await asyncio.to_thread(process.wait_ready)
        await self.join()

    async def join(self) -> None:
        """Both servers run: let one follow the other, and the name lead to them."""
        await self.name.start()
        await self.follow()

    async def stop(self) -> None:
        """Everything."""
        await self.name.stop()
        for process in self.processes:
            await asyncio.to_thread(process.kill)

    async def follow(self) -> None:
        """Let the replica follow the primary, and wait until it has all that the primary had."""
        async with self.direct(self.replica) as client, asyncio.timeout(_SYNC_SECONDS):
            await client.replicaof("127.0.0.1", str(self.ports[self.primary]))
            while (await client.info("replication")).get("master_link_status") != "up":
                await asyncio.sleep(0.02)
            # The primary takes it for a replica only once it has acknowledged what it was sent.
            async with self.direct(self.primary) as primary:
                while (await primary.info("replication")).get("slave0", {}).get("state") != "online":
                    await asyncio.sleep(0.02)

    async def fail_over(self, lost_seconds: float = 0.0) -> None:
        """Promote the replica, point the name to it, and demote the primary, whose clients stay connected.

        What the old primary confirms in the `lost_seconds` between is lost, since replication is asynchronous.
        """
        async with self.direct(self.replica) as client:
            await client.replicaof("NO", "ONE")
        await asyncio.sleep(lost_seconds)
        self.primary = self.replica
        self.name.target = self.ports[self.primary]
        await self.follow()
