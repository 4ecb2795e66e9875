"""Listens in on the Redis usage stream, beside the publishers' group: what was written has to be billed."""

import asyncio
import time
from typing import Any, Final

import redis.asyncio as redis
from redis.exceptions import RedisError

from aldea.redis.schema import USAGE_FIELD, USAGE_STREAM
from aldea.usage.reading import InvalidReading, UsageReading
from tests.chaos.book import Book

BLOCK_MS: Final = 500
COMMAND_SECONDS: Final = 3.0
COUNT: Final = 1000


async def listen(redis_url: str, book: Book) -> None:
    """Note every reading that passes, for ever; after a lost connection from where it was."""
    last = "0"
    while True:
        try:
            async with redis.from_url(redis_url, decode_responses=True, socket_timeout=COMMAND_SECONDS) as client:
                while True:
                    response: Any = await client.xread({USAGE_STREAM: last}, count=COUNT, block=BLOCK_MS)
                    for entry_id, fields in response[0][1] if response else ():
                        last = entry_id
                        _note(book, fields.get(USAGE_FIELD, ""))
        except (RedisError, OSError, TimeoutError):
            await asyncio.sleep(0.05)


def _note(book: Book, text: str) -> None:
    try:
        book.saw(UsageReading.from_json(text), time.monotonic())
    except InvalidReading as error:  # nothing in a run is poison
        raise AssertionError(f"an unreadable reading was written: {error}: {text}") from error
