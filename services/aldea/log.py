"""JSON logs, one object a line on standard output, with secrets redacted whatever put them there."""

import json
import logging
import re
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, Final, NamedTuple

import structlog

REDACTED = "[redacted]"

# Field names that may hold a credential. "key_id", "request_id" and the like are identifiers and stay.
_SECRET_FIELDS = re.compile(
    r"^(?:proxy-)?(authorization|cookie|set-cookie|password|passwd|secret|token|credentials?|key|(x-)?api[_-]?key"
    r"|sec-websocket-protocol|.*[_-](secret|password|token)|.*(secret|private|access|signing)[_-]key)$",
    re.IGNORECASE,
)
# Credentials inside free text: our own keys and tokens, authorization schemes (also as a WebSocket subprotocol's
# "token, key"; what is shorter than 16 characters after a word in lower case is prose), passwords in URLs (which may
# contain "/" and "@"), secrets in query strings.
_SECRET_TEXT = re.compile(
    r"(?P<own>\b(?:org|ats|sess)_[A-Za-z0-9_-]{6,})"
    r"|(?P<scheme>\b(?:Token|Bearer|Basic),?\s+)[A-Za-z0-9._~+/=-]{6,}"
    r"|(?P<lower>\b(?i:token|bearer|basic),?\s+)[A-Za-z0-9._~+/=-]{16,}"
    r"|(?P<url>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s\"']+(?=@)"
    r"|(?P<query>[?&](?i:key|api_?key|token|access_token|auth|password|secret|signature|x-amz-[a-z-]+)=)[^&\s\"'#]+",
)


# Without one of these no credential of the kinds above can be recognised; most texts that are logged have none.
_SUSPECT: Final = re.compile(r"[_\s?&]|://").search


def redact_text(text: str) -> str:
    """`text` without the credentials in it."""
    if _SUSPECT(text) is None:
        return text
    return _SECRET_TEXT.sub(lambda m: (m["scheme"] or m["lower"] or m["url"] or m["query"] or "") + REDACTED, text)


@lru_cache(maxsize=1024)
def _field(name: str) -> tuple[str, bool]:
    """A field's name as it may be shown, and whether its value may not; the code's few names come again and again."""
    return redact_text(name), _SECRET_FIELDS.match(name) is not None


def _redact(value: Any) -> Any:
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        # JSON knows only text as a key, and a key may itself be what somebody called with a credential.
        redacted = {}
        for name, item in value.items():
            shown, secret = _field(str(name))
            redacted[shown] = REDACTED if secret else _redact(item)
        return redacted
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact(item) for item in value]
    return value


def _as_text(value: Any) -> str:
    # What JSON does not know becomes text last of all, as a URL object with its password does: so redact here too.
    return redact_text(value.decode(errors="replace") if isinstance(value, bytes) else str(value))


def redact_event(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Structlog processor: redacts secret fields and credentials in any text of the event."""
    redacted: structlog.typing.EventDict = _redact(event)
    return redacted


class _Output(NamedTuple):
    handler: "logging.StreamHandler[Any]"
    origin: str  # the members of every line that say whose it is


# Where `configure` sends everything; None before that.
_output: _Output | None = None
# One encoder for all lines: `json.dumps` with options would make a new one each time.
_encode: Final = json.JSONEncoder(default=_as_text).encode


class FrequentEvent:
    """An event that is logged for every request: the pipeline's line at a tenth of its cost, redacted as well.

    `own`: the fields whose values this code makes itself (ids that we minted, numbers), which nobody else can put a
    credential into. Every other field is redacted like anywhere else.
    """

    def __init__(self, logger: str, event: str, *, own: Collection[str]) -> None:
        """`logger`, `event`: what stands in the line under these names. Raises ValueError for a secret's name."""
        if secret := [name for name in own if _SECRET_FIELDS.match(name)]:
            raise ValueError(f"{', '.join(secret)}: what has such a name is redacted always; leave it out of `own`")
        self._name = logger
        self._event = event
        self._own = frozenset(own)
        self._origin = f'"event": {_quoted(event)}, "level": "info", "logger": {_quoted(logger)}, '
        self._logger = logging.getLogger(logger)

    def info(self, **fields: Any) -> None:
        """Write one line at level INFO."""
        output = _output
        root = logging.root.handlers
        if output is None or len(root) != 1 or root[0] is not output.handler:
            # Not configured, or somebody listens (a test): whoever that is hears of it the usual way.
            structlog.get_logger(self._name).info(self._event, **fields)
            return
        if not self._logger.isEnabledFor(logging.INFO):
            return
        now = datetime.now(UTC).isoformat().removesuffix("+00:00")
        text = f'{{{self._members(fields)}{self._origin}"timestamp": "{now}Z"{output.origin}}}\n'
        try:
            with output.handler.lock:  # type: ignore[union-attr]  # every handler that is in use has one
                output.handler.stream.write(text)
                output.handler.stream.flush()
        except (OSError, ValueError):
            # Standard output is gone; the standard library's way says so once on standard error and goes on.
            structlog.get_logger(self._name).info(self._event, **fields)

    def _members(self, fields: dict[str, Any]) -> str:
        """The fields as JSON members, a comma behind each: what `_encode` would write, without making an encoder."""
        own = self._own
        text = ""
        for name, value in fields.items():
            if name not in own:
                name, secret = _field(name)  # noqa: PLW2901 - the name as it may be shown
                if secret:
                    value = REDACTED  # noqa: PLW2901 - likewise
                elif type(value) is str:
                    value = redact_text(value)  # noqa: PLW2901 - the most frequent case of the next one
                else:
                    value = _redact(value)  # noqa: PLW2901 - likewise
            kind = type(value)
            if kind is str:
                text += f'"{name}": {_quoted(value)}, '
            elif kind is int:
                text += f'"{name}": {value}, '
            elif kind is bool:
                text += f'"{name}": {"true" if value else "false"}, '
            else:
                text += f'"{name}": {_encode(value)}, '
        return text


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
