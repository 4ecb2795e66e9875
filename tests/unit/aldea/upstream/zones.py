"""A name server that tests turn on and off."""

import asyncio
from collections.abc import Sequence


class Zone:
    """The addresses of each name, and whether anything is returned at all."""

    def __init__(self, **names: Sequence[str]) -> None:
        self.names: dict[str, Sequence[str]] = dict(names)
        self.lookups = 0
        self.fails = False
        self.hanging = asyncio.Event()
        self.hanging.set()

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        self.lookups += 1
        await self.hanging.wait()
        if self.fails:
            raise OSError("no name server")
        return self.names.get(host, ())
