"""http_proxy's peers: nginx's `proxy_pass`, and a reverse proxy as one writes it with aiohttp; and the uploads' sender.

`python -m benchmarks.http_peers proxy PORT UPSTREAM_PORT` serves the latter; `… send PORT COUNT BYTES HEADER` sends so
many uploads at once and prints how long they took.
"""

import asyncio
import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import aiohttp
import uvloop
from aiohttp import web

TARGET: Final = "/v1/listen?model=general"
PIECE: Final = 1 << 20
SEND_SECONDS: Final = 300.0
_HOP_BY_HOP: Final = frozenset({"connection", "host", "keep-alive", "transfer-encoding"})

# `plain`: proxy_pass with everything as packaged. `streaming`: what one sets so that uploads are not stored first.
_NGINX: Final = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4000; }}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream sink {{ server 127.0.0.1:{upstream}; {keepalive} }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://sink; {streaming} }}
  }}
}}
"""


def nginx_config(folder: Path, port: int, upstream: int, *, streaming: bool) -> Path:
    """Write nginx's configuration; its path."""
    path = folder / "nginx.conf"
    text = _NGINX.format(
        folder=folder,
        port=port,
        upstream=upstream,
        keepalive="keepalive 64;" if streaming else "",
        streaming='proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off;'
        if streaming
        else "",
    )
    path.write_text(text)
    return path


async def _serve(port: int, upstream: int) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def forward(request: web.Request) -> web.StreamResponse:
            headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
            async with session.request(
                request.method,
                f"http://127.0.0.1:{upstream}{request.rel_url}",
                headers=headers,
                data=request.content,
                allow_redirects=False,
            ) as received:
                kept = {name: value for name, value in received.headers.items() if name.lower() not in _HOP_BY_HOP}
                response = web.StreamResponse(status=received.status, headers=kept)
                await response.prepare(request)
                async for piece in received.content.iter_any():
                    await response.write(piece)
                await response.write_eof()
                return response

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", forward)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
        await asyncio.Event().wait()


def _upload(port: int, size: int, header: str) -> None:
    piece = bytes(PIECE)
    with socket.create_connection(("127.0.0.1", port), timeout=SEND_SECONDS) as connection:
        head = f"POST {TARGET} HTTP/1.1\r\nHost: bench\r\n{header}\r\nContent-Length: {size}\r\n\r\n"
        connection.sendall(head.encode())
        left = size
        while left:
            connection.sendall(piece if left >= PIECE else piece[:left])
            left -= min(left, PIECE)
        if b" 200 " not in connection.recv(4096):
            raise SystemExit("an upload did not get a 200")


def _send(port: int, count: int, size: int, header: str) -> None:
    began = time.perf_counter()
    with ThreadPoolExecutor(count) as threads:
        list(threads.map(lambda _: _upload(port, size, header), range(count)))
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "proxy":
        uvloop.run(_serve(int(arguments[0]), int(arguments[1])))
    else:
        _send(int(arguments[0]), int(arguments[1]), int(arguments[2]), arguments[3])
