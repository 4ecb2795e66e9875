"""The Platform API's peer: an aiohttp handler with one `SELECT`, as one writes it.

`python -m benchmarks.api_peers PORT DATABASE_URL` serves it on uvloop, as the backend is served.
"""

import asyncio
import sys

import asyncpg
import uvloop
from aiohttp import web

# The backend's default.
POOL_SIZE = 10
_PROJECT = "select project_id::text, name, state from projects where project_id = $1 and deleted is null"


async def _serve(port: int, database_url: str) -> None:
    async with asyncpg.create_pool(database_url, max_size=POOL_SIZE) as pool:

        async def project(request: web.Request) -> web.Response:
            row = await pool.fetchrow(_PROJECT, request.match_info["project_id"])
            if row is None:
                raise web.HTTPNotFound
            return web.json_response(dict(row))

        app = web.Application()
        app.router.add_get("/v1/projects/{project_id}", project)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), sys.argv[2]))
