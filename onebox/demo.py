"""The demo: the sample goes through the platform, and its words and its bill are compared with the truth."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import asyncpg
from rich.table import Table

from aldea.canary.accuracy import word_error_rate, words_of
from aldea.canary.client import StreamFailed, stream_file
from onebox.console import Console
from onebox.stream import WordPrinter
from onebox.usage_row import NotBilled, final_usage_row

SAMPLE: Final = Path(__file__).parent / "samples" / "speech.wav"
MAX_WORD_ERROR_RATE: Final = 0.15
# How far the billed audio may be from the sample's length.
MAX_BILL_DIFFERENCE_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo saw. Seconds of audio as the engine heard and as PostgreSQL bills them."""

    ok: bool
    words: int
    word_error_rate: float
    heard_seconds: float
    request_id: str
    billed_seconds: float
    billed_request_id: str
    close_code: int


async def demo(address: str, key: str, database_url: str, console: Console, *, as_json: bool) -> bool:
    """Stream the sample in real time; True if its words and its bill are right. Prints what it sees."""
    console.say()
    console.say("Streaming the recorded sample through the balancer, ws-proxy and the STT server:", style="bold")
    printer = WordPrinter(sys.stderr if as_json else sys.stdout)
    truth = SAMPLE.with_suffix(".txt").read_text()
    try:
        stream = await stream_file(SAMPLE, address, key, on_message=printer)
        row = await final_usage_row(database_url, stream.request_id)
    except (StreamFailed, NotBilled) as failure:
        console.fail(str(failure))
        return False
    except (OSError, asyncpg.PostgresError) as error:
        console.fail(f"The bill cannot be read from PostgreSQL: {type(error).__name__}")
        return False
    rate = word_error_rate(truth, stream.transcript)
    billed = row["audio_ms"] / 1000
    faults = []
    if rate > MAX_WORD_ERROR_RATE:
        faults.append(f"The word error rate is {rate:.2f}, at most {MAX_WORD_ERROR_RATE} is allowed.")
    if abs(billed - stream.duration) > MAX_BILL_DIFFERENCE_SECONDS:
        faults.append(f"{billed:.3f} s are billed, but {stream.duration:.3f} s were heard.")
    outcome = Outcome(
        ok=not faults,
        words=len(words_of(stream.transcript)),
        word_error_rate=rate,
        heard_seconds=stream.duration,
        request_id=stream.request_id,
        billed_seconds=billed,
        billed_request_id=row["request_id"],
        close_code=row["close_code"],
    )
    if as_json:
        print(json.dumps(asdict(outcome)))
    else:
        console.show(_table(outcome))
    for fault in faults:
        console.fail(fault)
    return outcome.ok


def _table(outcome: Outcome) -> Table:
    table = Table(title="words and bill", title_justify="left")
    table.add_column("what")
    table.add_column("seen", justify="right")
    for what, seen in (
        ("words", str(outcome.words)),
        ("word error rate", f"{outcome.word_error_rate:.3f}"),
        ("audio heard", f"{outcome.heard_seconds:.3f} s"),
        ("audio billed (usage row in PostgreSQL)", f"{outcome.billed_seconds:.3f} s"),
        ("request id of the stream", outcome.request_id),
        ("request id of the usage row", outcome.billed_request_id),
        ("close code", str(outcome.close_code)),
    ):
        table.add_row(what, seen)
    return table
