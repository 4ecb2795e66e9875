"""`python -m sqs_updater replay`: sends what lies in the dead-letter queue through the usage queue once more."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import structlog

from aldea.sqs import MAX_ENTRIES, Message, Queue, SqsUnavailable, call_ranges
from aldea.usage.envelope import Rejected, Stamped, dead_letter, encode, open_dead_letter
from aldea.usage.reading import Order, UsageReading

log = structlog.get_logger("sqs_updater.replay")

# What stays in the dead-letter queue is hidden while the rest is gone through, so that each is looked at once.
VISIBILITY_SECONDS: Final = 300
# Two empty responses in a row: SQS samples its servers, one empty response does not prove an empty queue.
EMPTY_RESPONSES: Final = 2
SHOWN_REASONS: Final = 10


@dataclass(slots=True)
class Replayed:
    """What a replay did.

    `letters`: messages of the dead-letter queue that it looked at; `readings`: readings sent on to the usage queue;
    `unreadable`: texts that are no readings and stay, each with its reason; `rejected_again`: readings that were sent
    on, were refused once more, and lie in the dead-letter queue again; `reasons`: why, of the first few of those.
    """

    letters: int = 0
    readings: int = 0
    unreadable: int = 0
    rejected_again: int = 0
    reasons: list[str] = field(default_factory=list)

    def to_object(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return asdict(self)


def nobody(_done: Replayed) -> None:
    """Report the progress to nobody."""


async def replay(
    dead_letters: Queue,
    usage: Queue,
    *,
    limit: int | None = None,
    wait: int = 2,
    progress: Callable[[Replayed], None] = nobody,
) -> Replayed:
    """Send every readable reading of the dead-letter queue to the usage queue, each in a message of its own.

    Each alone, since a message that SQS moved here may hold one reading on which a worker died. What is unreadable
    stays in the dead-letter queue with its reason. A message is deleted after its readings were accepted; a reading
    that is sent twice because the deletion failed changes nothing. `limit`: messages to look at, None: all. `wait`:
    seconds that a response may take. Raises SqsUnavailable; what was sent on until then counts.
    """
    run = _Run(dead_letters, usage)
    empty = 0
    try:
        while empty < EMPTY_RESPONSES and (limit is None or run.done.letters < limit):
            room = MAX_ENTRIES if limit is None else min(MAX_ENTRIES, limit - run.done.letters)
            messages = await dead_letters.receive(wait=wait, visibility=VISIBILITY_SECONDS, limit=room)
            empty = 0 if messages else empty + 1
            await run.settle(messages)
            progress(run.done)
    finally:
        await run.show_what_stays()
    return run.done


class _Run:
    """One replay's memory: so that nothing is sent in circles while workers reject what it sends on."""

    def __init__(self, dead_letters: Queue, usage: Queue) -> None:
        self._dead_letters = dead_letters
        self._usage = usage
        self.done = Replayed()
        self._left: dict[str, str] = {}  # message id → receipt
        self._sent: set[tuple[str, Order]] = set()

    async def settle(self, messages: Sequence[Message]) -> None:
        """Send on what is readable in these messages, keep what is not, delete what is done with."""
        good: list[Stamped] = []
        bad: list[Rejected] = []
        finished: list[str] = []
        for message in messages:
            if message.message_id in self._left:  # hidden for so long that it showed up again
                self._left[message.message_id] = message.receipt
                continue
            self.done.letters += 1
            opened = open_dead_letter(message.body)
            new = [item for item in opened.good if _key(item.reading) not in self._sent]
            self.done.unreadable += len(opened.bad)
            self.done.rejected_again += len(opened.good) - len(new)
            room = SHOWN_REASONS - len(self.done.reasons)
            self.done.reasons += [one.reason for one in opened.bad][:room]
            if not new and opened.explained:
                self._left[message.message_id] = message.receipt
                continue
            good += new
            bad += opened.bad
            finished.append(message.receipt)
        await self._send(self._usage, [encode([item.reading.to_json()], [item.written_ms]) for item in good])
        self.done.readings += len(good)
        self._sent |= {_key(item.reading) for item in good}
        now_ms = time.time_ns() // 1_000_000
        await self._send(self._dead_letters, [dead_letter(one, source="replay", at_ms=now_ms) for one in bad])
        if finished and (failed := await self._dead_letters.delete(finished)):
            raise SqsUnavailable(f"{len(failed)} messages were sent on but not deleted: {next(iter(failed.values()))}")

    async def _send(self, queue: Queue, bodies: Sequence[str]) -> None:
        for call in call_ranges([len(body.encode()) for body in bodies]):
            if failed := await queue.send(bodies[call.start : call.stop]):
                raise SqsUnavailable(f"{len(failed)} messages were not accepted: {next(iter(failed.values()))}")

    async def show_what_stays(self) -> None:
        """Let others see at once what stays in the dead-letter queue."""
        receipts = list(self._left.values())
        for start in range(0, len(receipts), MAX_ENTRIES):
            try:
                await self._dead_letters.hide(dict.fromkeys(receipts[start : start + MAX_ENTRIES], 0))
            except SqsUnavailable as error:
                log.warning("remaining messages stay hidden for a while", error=str(error), seconds=VISIBILITY_SECONDS)
                return


def _key(reading: UsageReading) -> tuple[str, Order]:
    return reading.request_id, reading.order
