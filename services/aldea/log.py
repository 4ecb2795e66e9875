"""JSON logs, one object a line on standard output, with secrets redacted whatever put them there."""

import asyncio
import atexit
import json
import logging
import sys
import time
from collections.abc import Callable, Collection
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, Final, NamedTuple

import structlog

from aldea.redaction import REDACTED, field, redact, redact_text, secret_name
from aldea.tracing.trace import RUNNING


def _as_text(value: Any) -> str:
    # What JSON does not know becomes text last of all, as a URL object with its password does: so redact here too.
    return redact_text(value.decode(errors="replace") if isinstance(value, bytes) else str(value))


def redact_event(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Structlog processor: redacts secret fields and credentials in any text of the event."""
    redacted: structlog.typing.EventDict = redact(event)
    return redacted


def add_trace(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Structlog processor: what is said of a request that runs names its trace."""
    if RUNNING and isinstance(request_id := event.get("request_id"), str):
        trace = RUNNING.get(request_id)
        if trace is not None:
            event.setdefault("trace_id", trace.trace_id)
    return event


class _Output(NamedTuple):
    handler: "logging.StreamHandler[Any]"
    origin: str  # the members of every line that say whose it is


# Where `configure` sends everything; None before that.
_output: _Output | None = None
# One encoder for all lines: `json.dumps` with options would make a new one each time.
_encode: Final = json.JSONEncoder(default=_as_text).encode
# The same for the most frequent types beside numbers and texts, each at a fraction of its cost.
_BY_TYPE: Final[dict[type, Callable[[Any], str]]] = {
    bool: lambda value: "true" if value else "false",
    type(None): lambda _value: "null",
}
_REDACTED: Final = _quoted(REDACTED)
# An event has a few sets of fields (with a note and without); more than this are put together anew each time.
MAX_SHAPES: Final = 16


# Lines of frequent events are written together, so long after the first of them: each write is a system call, and wakes
# whoever reads. A killed process loses what it logged in this time.
LINES_SECONDS: Final = 0.01
# A text that is logged again and again (a server, a path, a client) is redacted once, if it is no longer than this.
_SHORT_TEXT: Final = 64


class _Waiting(NamedTuple):
    """An event that is still to be written: what makes its line, its fields, and when it was, in Unix nanoseconds."""

    line: Callable[[dict[str, Any], int], str]
    fields: dict[str, Any]
    at_ns: int


class _Lines:
    """Lines on their way out."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, event: _Waiting) -> None:
        """Write `event`, soon if there is an event loop, else at once.

        Many lines that are made one after the other take a fraction of the time of as many between other work.
        """
        self._waiting.append(event)
        if len(self._waiting) > 1 and self._loop is not None and not self._loop.is_closed():
            return  # that loop will write them all
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self.write()
        else:
            self._loop.call_later(LINES_SECONDS, self.write)

    def write(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        output = _output
        if output is None or not waiting:
            return
        try:
            text = "".join([line(fields, at_ns) for line, fields, at_ns in waiting])
            with output.handler.lock:  # type: ignore[union-attr]  # every handler that is in use has one
                output.handler.stream.write(text)
                output.handler.stream.flush()
        except (OSError, ValueError) as error:
            # Standard output is closed; the standard library's way says so once on standard error and goes on.
            logging.getLogger(__name__).warning("log lines were lost: %s", error)


_lines: Final = _Lines()
atexit.register(_lines.write)


class FrequentEvent:
    """An event that is logged for every request: the pipeline's line at a tenth of its cost, redacted as well.

    `own`: the fields whose values this code makes itself (ids that we minted, numbers), which nobody else can put a
    credential into. Every other field is redacted like anywhere else.
    """

    def __init__(self, logger: str, event: str, *, own: Collection[str]) -> None:
        """`logger`, `event`: the line's values under these names. Raises ValueError for a secret's name."""
        if secret := [name for name in own if secret_name(name)]:
            raise ValueError(f"{', '.join(secret)}: what has such a name is redacted always; leave it out of `own`")
        self._name = logger
        self._event = event
        self._own = frozenset({*own, "trace_id"})
        self._shapes: dict[tuple[str, ...], tuple[str, list[Callable[[Any], Any]]]] = {}
        self._origin = f'"event": {_quoted(event)}, "level": "info", "logger": {_quoted(logger)}, '
        self._logger = logging.getLogger(logger)

    def info(self, **fields: Any) -> None:
        """Write one line at level INFO."""
        output = _output
        root = logging.root.handlers
        if output is None or len(root) != 1 or root[0] is not output.handler:
            # Not configured, or somebody listens (a test): the event goes through the usual way.
            structlog.get_logger(self._name).info(self._event, **fields)
            return
        if not self._logger.isEnabledFor(logging.INFO):
            return
        if RUNNING:
            add_trace(None, "info", fields)  # now: the request may be over when the line is made
        _lines.add(_Waiting(self._line, fields, time.time_ns()))

    def _line(self, fields: dict[str, Any], at_ns: int) -> str:
        seconds, microseconds = divmod(at_ns // 1000, 1_000_000)
        now = f"{_second(seconds)}.{microseconds:06}Z"
        origin = "" if _output is None else _output.origin
        return f'{{{self._members(fields)}{self._origin}"timestamp": "{now}"{origin}}}\n'

    def _members(self, fields: dict[str, Any]) -> str:
        """The fields as JSON members, a comma behind each: what `_encode` would write, without making an encoder."""
        names = tuple(fields)
        template, writers = self._shapes.get(names) or self._shape(names)
        return template % tuple([write(value) for write, value in zip(writers, fields.values(), strict=True)])

    def _shape(self, names: tuple[str, ...]) -> tuple[str, list[Callable[[Any], Any]]]:
        """How fields of these names are written, and what makes each value's text."""
        shown = [(name, False) if name in self._own else field(name) for name in names]
        template = "".join(f"{_quoted(name).replace('%', '%%')}: %s, " for name, _ in shown)
        writers: list[Callable[[Any], Any]] = [
            _own if name in self._own else _redacted if secret else _shown
            for name, (_, secret) in zip(names, shown, strict=True)
        ]
        found = template, writers
        if len(self._shapes) < MAX_SHAPES:
            self._shapes[names] = found
        return found


@lru_cache(maxsize=2)
def _second(unix: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix))


def _own(value: Any) -> Any:
    """What a `%s` makes this value's JSON of, where the code has made it itself."""
    kind = type(value)
    return value if kind is int else _quoted(value) if kind is str else _BY_TYPE.get(kind, _shown)(value)


def _redacted(_value: Any) -> str:
    return _REDACTED


def _shown(value: Any) -> str:
    if type(value) is not str:
        return _encode(redact(value))
    return _shown_short(value) if len(value) <= _SHORT_TEXT else _quoted(redact_text(value))


@lru_cache(maxsize=1024)
def _shown_short(text: str) -> str:
    return _quoted(redact_text(text))


def configure(service: str, level: str = "INFO", environment: str = "local") -> None:
    """Send structlog's and the standard library's records through one JSON pipeline to standard output."""

    def add_origin(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"] = service
        event["environment"] = environment
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_origin,
        add_trace,
        structlog.processors.format_exc_info,
        redact_event,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared[:-2], structlog.stdlib.ExtraAdder(), *shared[-2:]],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=_as_text),
            ],
        )
    )
    global _output  # noqa: PLW0603 - logging is the process's, and so is this
    _output = _Output(handler, f', "service": {_quoted(service)}, "environment": {_quoted(environment)}')
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # botocore logs signed requests at DEBUG; asyncio's DEBUG is noise.
    for noisy in ("botocore", "aiobotocore", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
