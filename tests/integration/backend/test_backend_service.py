"""The Platform API as a service: ready or not, and as a process of its own."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import redis.asyncio as redis
from aiohttp import ClientSession

from aldea.redis.schema import KEYS_LOADED
from onebox.ports import free_port
from tests.integration.conftest import Api, Tenant, backend_env
from tests.support.proxies import eventually, running


async def test_it_is_ready_with_both_stores_once_the_keys_are_in_redis(api: Api, redis_client: "redis.Redis") -> None:
    async with asyncio.timeout(60):
        while (ready := await api.call("GET", "/readyz", status=None))[0] != 200:
            assert ready[1]["failing"] == {"keys": "the keys are not all in Redis yet"}
            await asyncio.sleep(0.02)
    assert await redis_client.exists(KEYS_LOADED)
    assert await api.call("GET", "/healthz") == {"status": "ok"}


async def test_an_unknown_path_and_a_wrong_method_get_an_error_in_the_contracts_shape(api: Api, ann: Tenant) -> None:
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
        async with asyncio.timeout(60):
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


async def test_one_connection_to_the_database_is_enough_for_all_that_the_platform_api_does(
    database_url: str, redis_url: str, ann: Tenant, http: ClientSession, tmp_path: Path
) -> None:
    env = backend_env(database_url, redis_url) | {"DATABASE_POOL_SIZE": "1"}
    with running("backend", tmp_path / "backend.log", **env) as backend:
        project = f"{backend.url}/v1/projects/{ann.project_id}"
        headers = {"Authorization": f"Token {ann.key}"}

        async def call(method: str, url: str, body: Any = None) -> tuple[int, Any]:
            async with http.request(method, url, json=body, headers=headers) as response:
                return response.status, await response.json()

        async def make_grant_and_revoke() -> set[int]:
            made, key = await call("POST", f"{project}/keys", {"comment": "", "scopes": ["usage:write"]})
            granted, _ = await call("POST", f"{backend.url}/v1/auth/grant")
            ended, _ = await call("DELETE", f"{project}/keys/{key['api_key_id']}")
            return {made, granted, ended}

        reads = [f"{project}{path}" for path in ("", "/keys", "/live", "/usage", "/requests", "/members")]
        looked, *changed = await asyncio.gather(
            asyncio.gather(*(call("GET", url) for url in reads * 3)), *(make_grant_and_revoke() for _ in range(5))
        )
        assert {status for status, _ in looked} == {200}
        assert changed == [{200}] * 5

        async def ready() -> bool:
            async with http.get(f"{backend.url}/readyz") as response:
                return response.status == 200

        await eventually(ready)
        # It also receives changes over a connection that is not of the pool.
        assert "not listening" not in backend.logged()
