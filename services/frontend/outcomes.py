"""What became of a request, in plain words: its state, its HTTP status, its close code."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from frontend.models import Request
from frontend.wording import parse_time

# The contract's close codes.
_CLOSE_CODES: Final = {
    1000: "finished",
    1001: "the client went away",
    1002: "the client broke the WebSocket protocol",
    1006: "the connection broke off",
    1008: "the audio could not be decoded, or the key or quota ended",
    1009: "a message was too large",
    1011: "no audio came in time, or the STT server failed",
    1012: "the service restarted; clients connect again",
}
_STATUSES: Final = {
    101: "stream opened",
    200: "responded",
    400: "unusable parameters or audio",
    402: "quota used up",
    408: "the upload was too slow",
    413: "too large",
    422: "the upload broke off",
    499: "the client left before the response",
    502: "the STT server failed",
    503: "no STT server was available",
    504: "the STT server was too slow",
}
_GOOD_CLOSES: Final = frozenset({1000, 1001, 1012})


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
        return Outcome("", "running", "it still runs; the figures are those of its last report")
    if request.state == "incomplete":
        return Outcome("warn", "incomplete", "its proxy was lost; billed as last reported")
    if code is not None and code >= 400:
        return Outcome("bad", f"failed {code}", _STATUSES.get(code, "refused"))
    if close_code is not None:
        detail = _CLOSE_CODES.get(close_code, "closed by the client with a code of its own")
        return Outcome("good" if close_code in _GOOD_CLOSES else "bad", f"closed {close_code}", detail)
    return Outcome("good", "done", _STATUSES.get(code or 200, "responded"))


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
    return [
        Event(request.created, "Let in", f"{request.path} in lane {request.lane}"),
        Event(None, "Audio heard" if seconds else "No audio heard", heard if seconds else "nothing is billed"),
        Event(end, "Stream " + ended.text if live else ended.text.capitalize(), ended.detail, ended.tone),
    ]
