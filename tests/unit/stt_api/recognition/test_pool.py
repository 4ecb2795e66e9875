import asyncio

import pytest

from aldea.errors import ServiceUnavailable
from stt_api.model import Model
from stt_api.options import ListenOptions
from stt_api.recognition.pool import WorkerPool
from tests.unit.stt_api.streams import finish

PCM = ListenOptions(encoding="linear16")


async def test_a_stream_waits_for_the_process_to_be_ready_and_is_recognised(pool: WorkerPool) -> None:
    async with pool.stream(PCM) as stream:
        await stream.send(bytes(32_000))
        assert (await finish(stream)).duration == 1.0
    assert pool.used == 0
    await pool.check()


async def test_of_two_requests_for_one_place_the_second_waits_and_a_third_is_refused(pool: WorkerPool) -> None:
    order: list[str] = []

    async def request(name: str) -> None:
        async with pool.stream(PCM) as stream:
            order.append(name)
            await finish(stream)

    async with pool.stream(PCM) as first:
        waiting = asyncio.get_running_loop().create_task(request("second"))
        async with asyncio.timeout(60):
            while not pool.waiting:
                await asyncio.sleep(0.01)
        with pytest.raises(ServiceUnavailable, match="too many wait") as refused:
            await pool.stream(PCM).__aenter__()
        assert refused.value.retry_after
        order.append("first")
        await finish(first)
    await waiting
    assert order == ["first", "second"]
    assert pool.used == 0


async def test_a_server_whose_processes_are_still_starting_says_so_and_not_that_its_places_are_taken() -> None:
    starting = WorkerPool(2, 8, Model("moonshine", "tiny", "1"), max_waiting=1, waiting_seconds=0.01)
    with pytest.raises(ServiceUnavailable, match=r"starting: there are no places .* none became free within 0\.01 s"):
        await starting.stream(PCM).__aenter__()
    assert starting.capacity == 0


async def test_more_channels_than_a_process_serves_are_refused_at_once(pool: WorkerPool) -> None:
    with pytest.raises(ServiceUnavailable, match="2 channels"):
        await pool.stream(ListenOptions(encoding="linear16", channels=2, multichannel=True)).__aenter__()
