"""What follows a committed change: this process drops its cached caller, and Redis is written before the response."""

from typing import Final

from aiohttp import web

from backend.api.authentication import Authenticator
from backend.replication.mirror import Entry, Mirror


class Propagation:
    """Called by services after their transaction, with the records that it changed."""

    def __init__(self, mirror: Mirror, authenticator: Authenticator) -> None:
        self.mirror = mirror
        self._authenticator = authenticator

    async def committed(self, *entries: Entry) -> bool:
        """Make the change effective; False if Redis is unavailable (key_sync writes it once it is back)."""
        self._authenticator.forget_all()
        return await self.mirror.put_or_defer(*entries)


PROPAGATION: Final = web.AppKey("propagation", Propagation)
