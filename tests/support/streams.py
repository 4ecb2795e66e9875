"""What a customer's program does with a ws-proxy: open a stream, hear it to its end, be refused."""

import json
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from tests.support.proxies import Customer, Service

SECOND = b"\1\0" * 16_000  # of sound, as PCM at 16 kHz
PCM = "encoding=linear16&sample_rate=16000"


def listen(http: ClientSession, proxy: Service, customer: Customer, query: str = PCM, path: str = "/v1/listen") -> Any:
    return http.ws_connect(f"{proxy.url}{path}?{query}", headers=customer.headers, max_msg_size=0)


async def heard(socket: ClientWebSocketResponse) -> list[dict[str, Any]]:
    """Every JSON message until the end."""
    return [json.loads(message.data) async for message in socket if message.type is WSMsgType.TEXT]


async def refused(
    http: ClientSession,
    proxy: Service,
    query: str = PCM,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], dict[str, str]]:
    """Status, headers and body of a refused upgrade; of one that was let in all the same, no body."""
    async with http.get(
        f"{proxy.url}/v1/listen?{query}",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            **(headers or {}),
        },
    ) as response:
        body = {} if response.status == 101 else await response.json()
        return response.status, dict(response.headers), body


async def no_leases(customer: Customer) -> bool:
    return await customer.leases() == 0
