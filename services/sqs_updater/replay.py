"""`python -m sqs_updater replay`: sends what lies in the dead-letter queue through the usage queue once more."""

from dataclasses import dataclass
from typing import Final

import structlog

from aldea.sqs import Message, Queue, SqsUnavailable
from aldea.usage_batch import encode, from_dead_letter

log = structlog.get_logger("sqs_updater.replay")

# What stays in the dead-letter queue is hidden while the rest is gone through, so that each is looked at once.
VISIBILITY_SECONDS: Final = 300
# Two empty answers in a row: SQS samples its servers, one empty answer does not prove an empty queue.
EMPTY_ANSWERS: Final = 2


@dataclass(slots=True)
class Replayed:
    """What a replay did: readings sent on, messages that are still unreadable."""

    readings: int = 0
    unreadable: int = 0


async def replay(dead_letters: Queue, usage: Queue, *, wait: int = 2) -> Replayed:
    """Send every dead letter that holds readable readings to the usage queue, then delete it; leave the others.

    A reading that is sent twice because the deletion failed changes nothing. Raises SqsUnavailable.
    """
    done = Replayed()
    empty = 0
    left: list[Message] = []
    while empty < EMPTY_ANSWERS:
        messages = await dead_letters.receive(wait=wait, visibility=VISIBILITY_SECONDS)
        empty = 0 if messages else empty + 1
        for message in messages:
            good, bad = from_dead_letter(message.body)
            if bad or not good:
                left.append(message)
                done.unreadable += 1
                log.warning("dead letter stays", reasons=[one.reason for one in bad][:5])
                continue
            body = encode([item.reading.to_json() for item in good], [item.written_ms for item in good])
            if failed := await usage.send([body]):
                raise SqsUnavailable(f"the usage queue did not take a message: {failed[0]}")
            if failed := await dead_letters.delete([message.receipt]):
                raise SqsUnavailable(f"a dead letter was sent on but not deleted: {failed[0]}")
            done.readings += len(good)
    for start in range(0, len(left), 10):
        await dead_letters.hide([message.receipt for message in left[start : start + 10]], 0)
    return done
