"""The relay's peers: nginx's plain tunnel, and a message-level proxy as one writes it with aiohttp.

`python -m benchmarks.peers PORT UPSTREAM_PORT` serves the latter.
"""

import asyncio
import sys
from pathlib import Path
from typing import Final

import aiohttp
import uvloop
from aiohttp import WSMsgType, web

from aldea.tasks import cancel, spawn

# A plain tunnel: no log, no check, no count; buffers as the packaged default has them.
_NGINX: Final = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 16000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_read_timeout 1h;
    }}
  }}
}}
"""


def nginx_config(folder: Path, port: int, upstream: int) -> Path:
    """Write the tunnel's configuration; its path."""
    path = folder / "nginx.conf"
    path.write_text(_NGINX.format(folder=folder, port=port, upstream=upstream))
    return path


async def _pump(source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse, target: object) -> None:
    assert isinstance(target, web.WebSocketResponse | aiohttp.ClientWebSocketResponse)
    async for message in source:
        if message.type is WSMsgType.BINARY:
            await target.send_bytes(message.data)
        elif message.type is WSMsgType.TEXT:
            await target.send_str(message.data)
    await target.close(code=source.close_code or 1011)


async def _serve(port: int, upstream: int) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def relay(request: web.Request) -> web.StreamResponse:
            async with session.ws_connect(f"http://127.0.0.1:{upstream}{request.rel_url}", compress=0) as server:
                client = web.WebSocketResponse(compress=False)
                await client.prepare(request)
                down = spawn(_pump(server, client), name="down")
                try:
                    await _pump(client, server)
                    await down
                finally:
                    await cancel(down)
                return client

        app = web.Application()
        app.router.add_get("/{path:.*}", relay)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
