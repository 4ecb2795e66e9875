"""What all requests of a process share, and how many of them are being worked on."""

import asyncio
from dataclasses import dataclass, field

from aldea.address_guard import AddressGuard
from aldea.admission import Admission, Renewals
from aldea.service import Lifecycle
from aldea.upstream import Upstreams
from http_proxy import metrics
from http_proxy.callback import Couriers
from http_proxy.connection import Pool
from http_proxy.deliveries import Deliveries
from http_proxy.settings import HttpProxySettings
from http_proxy.upload import UploadLimits


class InFlight:
    """Counts the requests inside it: `with` around each; a drain waits for the last."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()
        metrics.IN_FLIGHT.set_function(self.__len__)

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> None:
        self._count += 1
        self._none.clear()

    def __exit__(self, *_exc: object) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    async def ended(self) -> None:
        """Return once no request is left."""
        await self._none.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What all requests of a process share."""

    settings: HttpProxySettings
    lifecycle: Lifecycle
    upstreams: Upstreams
    pool: Pool
    admission: Admission
    renewals: Renewals
    guard: AddressGuard
    deliveries: Deliveries
    couriers: Couriers
    limits: UploadLimits
    in_flight: InFlight = field(default_factory=InFlight)
