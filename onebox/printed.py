"""What a failed process printed, for a person: its first error, then its last lines."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

# How much of a failed process's output its error quotes.
TAIL_LINES: Final = 12
_LINE_CHARACTERS: Final = 400
_ERROR: Final = re.compile(
    r"\b(error|fatal|panic|critical|failed|cannot|could not|unable to|denied|refused|no space|bad settings)\b"
    r"|\w(Error|Exception)\b",
    re.IGNORECASE,
)
_SHOWN_LEVELS: Final = frozenset({"error", "critical"})
_HIDDEN: Final = frozenset({"event", "level", "timestamp", "service", "environment", "logger"})


def quote(lines: Sequence[str]) -> str:
    """The lines' first error and their end, as a sentence's continuation; empty if there are none."""
    shown = [text for line in lines if line.strip() for text in readable(line)]
    if not shown:
        return ""
    first = next((index for index, line in enumerate(shown) if is_error(line)), None)
    start = max(0, len(shown) - TAIL_LINES)
    if first is not None and first < start:
        quoted = [shown[first], "…", *shown[start:]]
    else:
        quoted = shown[start if first is None else first :]
    return " It printed:\n  " + "\n  ".join(line[:_LINE_CHARACTERS] for line in quoted)


def is_error(line: str) -> bool:
    """Whether this line says what went wrong. Indented ones are a traceback's, whose last line says it."""
    return not line[:1].isspace() and _ERROR.search(line) is not None


def readable(line: str) -> list[str]:
    """A line as a person reads it: a service's JSON as level, event, fields and traceback, any other as it is."""
    record = parse_record(line)
    if record is None:
        return [line.rstrip()]
    level, event = str(record.get("level", "info")), str(record["event"])
    exception = str(record.pop("exception", "")).splitlines()
    fields = " ".join(f"{name}={value}" for name, value in record.items() if name not in _HIDDEN)
    # A warning that names an error is no error; its level stands before everything else.
    head = f"{level}: {event} {fields}".rstrip() if level in _SHOWN_LEVELS else f" {level}: {event} {fields}".rstrip()
    return [head, *exception]


def parse_record(line: str) -> dict[str, Any] | None:
    """A service's JSON log line, None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "event" in record else None
