"""The Platform API as a service: ready or not, and as a process of its own."""

import asyncio
import sys

import redis.asyncio as redis

from aldea.redis_schema import KEYS_LOADED
from onebox.ports import free_port
from tests.integration.conftest import Api, Tenant


async def test_it_is_ready_with_both_stores_once_the_keys_are_in_redis(api: Api, redis_client: "redis.Redis") -> None:
    async with asyncio.timeout(10):
        while (ready := await api.call("GET", "/readyz", status=None))[0] != 200:
            assert ready[1]["failing"] == {"keys": "the keys are not all in Redis yet"}
            await asyncio.sleep(0.02)
    assert await redis_client.exists(KEYS_LOADED)
    assert await api.call("GET", "/healthz") == {"status": "ok"}


async def test_an_unknown_address_and_a_wrong_method_are_told_in_the_contracts_shape(api: Api, ann: Tenant) -> None:
    lost = await api.call("GET", "/v1/nothing", ann.key, status=404)
    assert lost["err_code"] == "NOT_FOUND"
    wrong = await api.call("PUT", "/v1/projects", ann.key, status=405)
    assert "GET" in wrong["err_msg"]


async def test_a_process_with_no_store_starts_says_what_fails_and_stops_on_sigterm() -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backend",
        env={
            "DATABASE_URL": f"postgresql://u@127.0.0.1:{free_port()}/d",
            "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
            "USAGE_QUEUE_URL": "http://127.0.0.1:1/usage", "USAGE_DLQ_URL": "http://127.0.0.1:1/dead",
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "PORT": str(port), "PYTHONPATH": "services", "PATH": "", "DRAIN_SECONDS": "1",
        },
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            async for line in process.stdout:
                if b'"serving"' in line:
                    break
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            shown = await reader.read()
            writer.close()
            await writer.wait_closed()
            assert b" 503 " in shown
            assert b"postgres" in shown
            assert b"redis" in shown
            process.terminate()
            await process.stdout.read()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
