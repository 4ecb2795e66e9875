"""What a person sees: steps as they finish, and the services' JSON log lines made readable, with coloured prefixes."""

import json
import sys
from contextlib import suppress
from datetime import datetime
from typing import IO, Any, Final, TextIO, cast

from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.text import Text

from onebox.output import Output
from onebox.printed import parse_record

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_LEVEL_STYLES: Final = {"debug": "dim", "info": "", "warning": "yellow", "error": "bold red", "critical": "bold red"}
_PREFIX_STYLES: Final = (
    "cyan",
    "green",
    "magenta",
    "blue",
    "bright_cyan",
    "bright_green",
    "bright_magenta",
    "bright_blue",
)
# Fields that every line has, or that are in the prefix already.
_HIDDEN_FIELDS: Final = frozenset({"event", "level", "timestamp", "service", "environment", "logger", "exception"})
_PREFIX_WIDTH: Final = 11


class Console:
    """The terminal, or a plain stream: colours and redrawing only where there is a terminal (and NO_COLOR is unset)."""

    def __init__(self, *, threshold: str = "info", stream: TextIO | None = None) -> None:
        """`threshold`: service lines below this level are kept for the log files only."""
        self.output = Output(stream or sys.stdout)
        self.rich = RichConsole(
            file=cast("IO[str]", self.output), highlight=False, soft_wrap=True, emoji=False, legacy_windows=False
        )
        self.threshold = threshold
        self._styles: dict[str, str] = {}

    def say(self, text: str = "", style: str = "") -> None:
        """One line, as it is."""
        self.rich.print(Text(text, style=style))

    def show(self, thing: RenderableType) -> None:
        """Print something that rich can draw, such as a table."""
        self.rich.print(thing)

    def step(self, text: str, seconds: float | None = None) -> None:
        """Something that has succeeded, and how long it took."""
        line = Text.assemble(("✓ ", "green"), text)
        if seconds is not None:
            line.append(f"  {seconds:.1f} s", style="dim")
        self.rich.print(line)

    def note(self, text: str) -> None:
        """Something in progress."""
        self.rich.print(Text.assemble(("… ", "dim"), (text, "dim")))

    def warn(self, text: str) -> None:
        """Something a person should know about."""
        self.rich.print(Text.assemble(("! ", "bold yellow"), (text, "yellow")))

    def fail(self, text: str) -> None:
        """Why it does not go on."""
        self.rich.print(Text.assemble(("✗ ", "bold red"), text))

    def service_line(self, service: str, line: str, *, plain_level: str = "info") -> None:
        """Show one line of a service's output, if its level reaches the threshold.

        `plain_level`: what a line that is not JSON (a traceback, a store's own log) is taken for.
        """
        record = parse_record(line)
        level = str(record.get("level", "info")) if record is not None else plain_level
        if LEVELS.get(level, 20) < LEVELS[self.threshold]:
            return
        text = self._prefix(service, record)
        text.append_text(render(record, level) if record is not None else Text(line.rstrip()))
        self.rich.print(text)
        if record is not None and "exception" in record:
            for detail in str(record["exception"]).splitlines():
                self.rich.print(self._prefix(service, record).append(detail, style="dim"))

    def _prefix(self, service: str, record: dict[str, Any] | None) -> Text:
        style = self._styles.setdefault(service, _PREFIX_STYLES[len(self._styles) % len(_PREFIX_STYLES)])
        return Text.assemble((f"{_clock(record)} ", "dim"), (f"{service:<{_PREFIX_WIDTH}} │ ", style))


def render(record: dict[str, Any], level: str) -> Text:
    """A log record as level, event and fields."""
    style = _LEVEL_STYLES.get(level, "")
    text = Text.assemble((f"{level:<7} ", style), (str(record.get("event", "")), style or "bold"))
    for name, value in record.items():
        if name not in _HIDDEN_FIELDS:
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            text.append(f"  {name}=", style="dim").append(shown)
    return text


def _clock(record: dict[str, Any] | None) -> str:
    """The record's own time as local wall-clock time, else now's."""
    moment = datetime.now().astimezone()
    if record is not None:
        with suppress(KeyError, ValueError):
            moment = datetime.fromisoformat(str(record["timestamp"])).astimezone()
    return moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
