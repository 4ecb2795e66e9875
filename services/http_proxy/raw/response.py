"""A whole response as bytes, as aiohttp would send it. No I/O."""

from aiohttp import hdrs, web
from aiohttp.helpers import rfc822_formatted_time

from aldea.headers import SERVER


def as_bytes(response: web.Response, *, keep_alive: bool) -> bytes:
    """Head and body. `keep_alive`: whether the connection carries another request."""
    body = response.body if isinstance(response.body, bytes | bytearray) else b""
    headers = response.headers
    headers[hdrs.CONTENT_LENGTH] = str(len(body))
    if body:
        headers.setdefault(hdrs.CONTENT_TYPE, "application/octet-stream")
    headers.setdefault(hdrs.DATE, rfc822_formatted_time())
    headers.setdefault(hdrs.SERVER, SERVER)
    if not keep_alive:
        headers.setdefault(hdrs.CONNECTION, "close")
    lines = [f"HTTP/1.1 {response.status} {response.reason}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
    return "".join(lines).encode("utf-8", "replace") + b"\r\n" + body
