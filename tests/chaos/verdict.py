"""Judges a run: every request that was driven against the row that it is billed by. No I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from aldea.usage.reading import Rank
from tests.chaos.book import Book, Driven, Kind
from ws_proxy.placement import MOST_IN_A_MINUTE

# Named in the report at most; the count says how many there are.
SHOWN_FAILURES: Final = 20
NAMES: Final[dict[Kind, str]] = {
    "stream": "streams",
    "upload": "uploads",
    "url": "uploads by URL",
    "callback": "uploads with a callback",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of usage_requests."""

    tag: str
    request_id: str
    rank: int
    seq: int
    audio_ms: int
    failovers: int = 0


@dataclass(slots=True)
class Line:
    """A line of the table; audio in milliseconds."""

    requests: int = 0
    sent_ms: int = 0
    billed_ms: int = 0
    double_ms: int = 0
    lost_ms: int = 0

    def add(self, other: "Line") -> None:
        """Count another line in."""
        for name in ("requests", "sent_ms", "billed_ms", "double_ms", "lost_ms"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class Verdict:
    """The table and everything that is wrong."""

    lines: dict[str, Line] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def total(self) -> Line:
        """The table's last line."""
        total = Line()
        for line in self.lines.values():
            total.add(line)
        return total

    def to_object(self) -> dict[str, Any]:
        """As JSON."""
        lines = {name: asdict(line) for name, line in [*self.lines.items(), ("total", self.total)]}
        return {"lines": lines, "failures": self.failures[:SHOWN_FAILURES], "failed": len(self.failures)}

    def table(self) -> str:
        """For people; seconds of audio."""
        head = ("", "requests", "audio sent s", "billed s", "double-counted s", "lost s")
        body = [
            (name, str(line.requests), *(f"{ms / 1000:,.3f}" for ms in figures(line)))
            for name, line in [*self.lines.items(), ("total", self.total)]
        ]
        widths = [max(len(cells[column]) for cells in (head, *body)) for column in range(len(head))]
        return "\n".join(
            "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in paired)
            for cells in (head, *body)
            for paired in [list(enumerate(zip(cells, widths, strict=True)))]
        )


def figures(line: Line) -> tuple[int, int, int, int]:
    """A line's audio, in the table's order."""
    return line.sent_ms, line.billed_ms, line.double_ms, line.lost_ms


def judge(book: Book, rows: Iterable[Row], *, daily_ms: int, dead_letters: int, differences: Sequence[str]) -> Verdict:
    """Every rule that a run is held to. `daily_ms`: the sum of usage_daily; `differences`: what reconcile found."""
    verdict = Verdict()
    by_tag: dict[str, list[Row]] = {}
    for row in rows:
        by_tag.setdefault(row.tag, []).append(row)
    for one in book.driven.values():
        _judge_request(verdict, book, one, by_tag.pop(one.tag, []))
    for tag, strange in by_tag.items():
        verdict.failures.append(f"{tag}: billed {_billed(strange)} ms, and nobody drove it")
    if verdict.total.billed_ms != daily_ms:
        verdict.failures.append(f"usage_daily says {daily_ms} ms, the requests {verdict.total.billed_ms} ms")
    verdict.failures += [f"reconcile: {difference}" for difference in differences]
    for tag in sorted(book.deliveries.keys() | {one.tag for one in book.driven.values() if one.kind == "callback"}):
        verdict.failures += _judge_deliveries(book, tag)
    verdict.failures += book.spoiled
    if dead_letters:
        verdict.failures.append(f"{dead_letters} messages lie in the dead-letter queue, and none was poison")
    return verdict


def _judge_request(verdict: Verdict, book: Book, one: Driven, rows: list[Row]) -> None:
    died = book.proxy_died(one)
    name, least_ms, most_ms = _bounds(book, one, died=died)
    billed = _billed(rows)
    line = Line(1, one.sent_ms, billed, max(0, billed - most_ms), max(0, least_ms - billed))
    verdict.lines.setdefault(name, Line()).add(line)
    wrong = []
    if len(rows) > 1:
        wrong.append(f"{len(rows)} rows")
    if line.double_ms:
        wrong.append(f"{line.double_ms} ms too much")
    if line.lost_ms:
        wrong.append(f"{line.lost_ms} ms too little")
    if rows and rows[0].rank == Rank.OPEN:
        wrong.append("still open")
    if rows and not died and one.outcome != "refused" and rows[0].rank != Rank.FINAL:
        wrong.append("its proxy lived, and its row is not final")
    if _noticed(book, one, rows):
        wrong.append("its client noticed, and its proxy lived")
    written = book.written.get(one.tag)
    if written is not None and not rows:
        wrong.append("a reading was written, and there is no row")
    elif written is not None and (rows[0].rank == Rank.FINAL, rows[0].seq, rows[0].rank) < written.reading.order:
        wrong.append(f"row (rank {rows[0].rank}, seq {rows[0].seq}) is older than {written.reading.to_json()}")
    if wrong:
        verdict.failures.append(
            f"{one.tag} ({name}; {one.detail}): {', '.join(wrong)}; sent {one.sent_ms} ms, billed {billed} ms, "
            f"allowed {least_ms} to {most_ms} ms"
        )


def _noticed(book: Book, one: Driven, rows: list[Row]) -> bool:
    """Whether the client of a stream noticed something that it should not have.

    Whatever happens to STT servers and stores: it may notice the end of its proxy, and a loss of its server after so
    many in a minute that the stream is given no other one.
    """
    if one.kind != "stream" or one.outcome not in {"closed", "broken"} or book.proxy_ended(one):
        return False
    return not rows or rows[0].failovers < MOST_IN_A_MINUTE


def _judge_deliveries(book: Book, tag: str) -> list[str]:
    """What is wrong with a callback: an accepted result comes at least once, by its request id, and is the right one.

    One that was not accepted may come all the same: what Redis did with it was not known.
    """
    one, found = book.driven.get(tag), book.deliveries.get(tag, [])
    if one is None:
        return [f"{tag}: delivered, and nobody requested it"]
    wrong = [f"{tag}: delivered {ms} ms of {one.length_ms}" for _, ms in found if ms != one.length_ms]
    ids = {request_id for request_id, _ in found}
    if len(ids) > 1 or (ids and one.request_id and ids != {one.request_id}):
        wrong.append(f"{tag}: delivered as {sorted(ids)}, accepted as {one.request_id!r}")
    if one.outcome == "clean" and not found:
        wrong.append(f"{tag}: accepted as {one.request_id} by {one.proxy}, and never delivered")
    return wrong


def _bounds(book: Book, one: Driven, *, died: bool) -> tuple[str, int, int]:
    """A request's line in the table, and the least and the most that it may be billed."""
    written = book.written.get(one.tag)
    if one.outcome == "refused" and (written is None or not died):
        return "refused, or no server", 0, 0
    if died:
        checkpoint = written.reading.audio_ms if written is not None else 0
        return f"{NAMES[one.kind]} whose proxy was killed", checkpoint, one.sent_ms
    if one.outcome == "clean":
        return f"{NAMES[one.kind]} that ended cleanly", one.sent_ms, one.sent_ms
    # The proxy lived, so it billed what the STT server reported: at least what the client has seen of that.
    return f"{NAMES[one.kind]} cut short", one.reported_ms, one.sent_ms


def _billed(rows: Sequence[Row]) -> int:
    return sum(row.audio_ms for row in rows)
