"""Looking up the addresses of names that customers chose, on threads of which each customer has a share."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeAlias

# Slow name servers of customers' domains occupy threads, for longer than anybody waits: so many of them, none that
# anything else needs, and of one customer no more than a share.
THREADS: Final = 64
CUSTOMER_THREADS: Final = 4

# host, port → addresses as `socket.getaddrinfo` returns them.
Lookup: TypeAlias = Callable[[str, int], Sequence[tuple[Any, ...]]]

# Whose names are looked up; unset: anybody's, without a share.
_customer: ContextVar[str] = ContextVar("customer", default="")


@contextmanager
def on_behalf_of(customer: str) -> Iterator[None]:
    """Names that the body looks up count to this customer's share."""
    before = _customer.set(customer)
    try:
        yield
    finally:
        _customer.reset(before)


class _Share:
    """A customer's share of the threads, and how many lookups use it or wait for it."""

    def __init__(self) -> None:
        self.threads = asyncio.Semaphore(CUSTOMER_THREADS)
        self.lookups = 0


class Lookups:
    """The threads of one process for this."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="resolve")
        self._shares: dict[str, _Share] = {}  # of customers whose names are being looked up

    def __len__(self) -> int:
        """How many customers' names are being looked up."""
        return len(self._shares)

    def close(self) -> None:
        """Let go of the threads; lookups that wait for one are dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def look_up(self, lookup: Lookup, host: str, port: int) -> Sequence[tuple[Any, ...]]:
        """What `lookup` finds. Raises what it raises.

        A lookup cannot be ended. Where nobody waits for it any more, its thread and its customer's share are free once
        it has ended by itself.
        """
        loop = asyncio.get_running_loop()
        customer = _customer.get()
        if not customer:
            return await loop.run_in_executor(self._threads, lookup, host, port)
        share = self._shares.setdefault(customer, _Share())
        share.lookups += 1
        try:
            await share.threads.acquire()
        except BaseException:
            self._leave(customer, share)
            raise
        looking = loop.run_in_executor(self._threads, lookup, host, port)

        def ended(looking: "asyncio.Future[Any]") -> None:
            if not looking.cancelled():
                looking.exception()  # perhaps nobody waits any more
            share.threads.release()
            self._leave(customer, share)

        looking.add_done_callback(ended)
        return await asyncio.shield(looking)

    def _leave(self, customer: str, share: _Share) -> None:
        share.lookups -= 1
        if not share.lookups:
            del self._shares[customer]
