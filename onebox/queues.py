"""`python -m onebox.queues`: the SQS emulator, made to end in good time whoever still waits for a message.

Ending is when it writes its queues down. Left alone it waits for long polls first: three seconds up to Python 3.11, and
as long as they last (20 s) since 3.12.1, whose `Server.wait_closed` waits for every connection.
"""

import asyncio
import sys
from typing import Final

from hypercorn.config import Config

# For requests in progress; a long poll is cut off, which its caller takes for an empty response or tries again.
GRACE_SECONDS: Final = 0.3


async def _at_once(_server: asyncio.Server) -> None:
    """In place of `Server.wait_closed`: the emulator itself waits for its connections, for GRACE_SECONDS."""


def end_in_good_time() -> None:
    """Set it for this process, before the emulator starts."""
    Config.graceful_timeout = GRACE_SECONDS
    asyncio.Server.wait_closed = _at_once  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    from ministack.app import main

    end_in_good_time()
    sys.exit(main())
