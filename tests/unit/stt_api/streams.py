"""What the tests of the engine's processes share."""

from stt_api.recognition.events import Ended
from stt_api.recognition.process import Stream


async def finish(stream: Stream) -> Ended:
    """End a stream and wait for its last event."""
    await stream.end()
    while not isinstance(event := await stream.next_event(), Ended):
        pass
    return event
