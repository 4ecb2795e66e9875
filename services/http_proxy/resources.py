"""What all requests of a process share, and how many of them are being worked on."""

import asyncio
from dataclasses import dataclass, field

from aldea.address_guard import AddressGuard
from aldea.admission import Admission, Renewals
from aldea.service.lifecycle import Lifecycle
from aldea.upstream import Upstreams
from http_proxy import metrics
from http_proxy.callbacks.delivery import CallbackWorker
from http_proxy.callbacks.store import Deliveries
from http_proxy.settings import HttpProxySettings
from http_proxy.upload import UploadLimits
from http_proxy.upstream_pool import Pool


class InFlight:
    """Counts the requests inside it: `with` around each; a drain waits for the last, and ends what is left."""

    def __init__(self) -> None:
        self._count = 0
        self._tasks: set[asyncio.Task[object] | None] = set()
        self._cut: set[asyncio.Task[object] | None] = set()
        self._none = asyncio.Event()
        self._none.set()
        metrics.IN_FLIGHT.set_function(self.__len__)

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> None:
        self._count += 1
        self._tasks.add(asyncio.current_task())
        self._none.clear()

    def __exit__(self, *_exc: object) -> None:
        self._count -= 1
        task = asyncio.current_task()
        self._tasks.discard(task)
        self._cut.discard(task)
        if not self._count:
            self._none.set()

    def cut(self) -> None:
        """End all requests that are left, so that they can still say so to their clients."""
        for task in self._tasks - self._cut:
            if task is not None:
                self._cut.add(task)
                task.cancel()

    def was_cut(self) -> bool:
        """Whether the running request's cancellation came from `cut`: it goes on, to respond."""
        task = asyncio.current_task()
        if task not in self._cut or task is None:
            return False
        task.uncancel()
        return True

    async def ended(self) -> None:
        """Return once no request is left."""
        await self._none.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What all requests of a process share."""

    settings: HttpProxySettings
    lifecycle: Lifecycle
    upstreams: Upstreams
    pool: Pool
    admission: Admission
    renewals: Renewals
    guard: AddressGuard
    deliveries: Deliveries
    callback_worker: CallbackWorker
    limits: UploadLimits
    in_flight: InFlight = field(default_factory=InFlight)
