"""What became of a request, in plain words: its state, its HTTP status, its close code."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from frontend.models import Request
from frontend.wording import parse_time

# The contract's close codes.
_CLOSE_CODES: Final = {
    1000: "all audio was transcribed",
    1001: "the client left the page or shut down",
    1002: "the client broke the WebSocket protocol",
    1003: "the client sent a kind of message that is not taken",
    1005: "the client closed the stream",
    1006: "the connection was lost",
    1007: "a message was not the text that it said to be",
    1008: "the audio could not be decoded, or the key or quota ended",
    1009: "a message was too large",
    1011: "no audio came in time, or the STT server failed",
    1012: "the service restarted; the client should connect again",
}
_STATUSES: Final = {
    101: "stream opened",
    200: "the transcript was sent",
    400: "the parameters or the audio could not be used",
    401: "the API key was wrong or had ended",
    402: "the quota or the credit was used up",
    403: "the API key does not have the permission",
    404: "there is no such address",
    408: "the upload was too slow",
    413: "too large",
    415: "this kind of audio cannot be read",
    422: "the upload was cut off",
    429: "too many requests at a time or in a minute",
    499: "the client left before the response",
    500: "an error on our side",
    502: "the STT server failed",
    503: "no STT server was available",
    504: "the STT server was too slow",
}
# How a close reads in a word. Which are failures is the API's rule too (backend/usage/filters.py).
_CLOSES: Final = {
    1000: ("good", "completed"),
    1001: ("good", "completed"),
    1005: ("good", "completed"),
    1006: ("warn", "connection lost"),
    1012: ("good", "service restart"),
    **dict.fromkeys((1002, 1003, 1007, 1008, 1009, 1011), ("bad", "failed")),
}
_OTHER_CLOSE: Final = ("warn", "closed by client")


@dataclass(frozen=True, slots=True)
class Outcome:
    """`tone`: good, warn or bad, or empty while it runs. `text`: one or two words. `detail`: a sentence's part."""

    tone: str
    text: str
    detail: str


def outcome(request: Request) -> Outcome:
    """What became of one of the API's requests."""
    code, close_code = request.code, request.close_code
    if request.state == "open":
        return Outcome("", "active", "still running; figures are from its last report")
    if request.state == "incomplete":
        return Outcome("warn", "incomplete", "interrupted on our side; billed up to its last report")
    if code is not None and code >= 400:
        return Outcome("bad", "failed", f"{_STATUSES.get(code, 'refused')} (status {code})")
    if close_code is not None:
        detail = f"{_CLOSE_CODES.get(close_code, 'closed by the client for its own reason')} (close code {close_code})"
        return Outcome(*_CLOSES.get(close_code, _OTHER_CLOSE), detail)
    return Outcome("good", "completed", _STATUSES.get(code or 200, "the response was sent"))


@dataclass(frozen=True, slots=True)
class Event:
    """A point of a request's timeline. `at`: ISO 8601, None if it has not come."""

    at: str | None
    title: str
    detail: str
    tone: str = ""


def timeline(request: Request) -> list[Event]:
    """From admission to end, in order."""
    began = parse_time(request.created)
    live = request.service == "streaming"
    ended = outcome(request)
    end = None
    if began is not None and request.state != "open":
        end = (began + timedelta(seconds=request.connection_seconds)).isoformat()
    seconds, channels = request.audio_seconds, request.channels
    heard = f"{seconds:,.3f} s" + (f", {channels} channels counted" if channels > 1 else "")
    moved = [] if not request.failovers else [Event(None, "Went on at another server", _moves(request.failovers))]
    return [
        Event(request.created, "Accepted", f"{request.path} in lane {request.lane}"),
        Event(None, "Audio received" if seconds else "No audio received", heard if seconds else "nothing billed"),
        *moved,
        Event(end, "Stream " + ended.text if live else ended.text.capitalize(), ended.detail, ended.tone),
    ]


def _moves(failovers: int) -> str:
    times = "once" if failovers == 1 else f"{failovers} times"
    return f"{times}; its times go on, and no audio is billed twice"
