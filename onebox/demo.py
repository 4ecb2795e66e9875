"""The demo: two recordings go through the platform, and their words and their bills are compared with the truth.

A made-up voice is streamed, as a microphone's audio would be. A person reading is uploaded, where the package of the
moonshine engine brings that recording.
"""

import json
import os
import sys
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import asyncpg
from rich.table import Table

from aldea.canary.accuracy import word_error_rate, words_of
from aldea.canary.client import StreamFailed, stream_file, upload_file
from onebox.console import Console
from onebox.engine_kill import EngineKill, Engines, Failover, NoFailover
from onebox.human_speech import RECORDINGS, recording
from onebox.output import Output
from onebox.stream import WordPrinter
from onebox.usage_row import NotBilled, final_usage_row

SAMPLE: Final = Path(__file__).parent / "samples" / "speech.wav"
MAX_WORD_ERROR_RATE: Final = 0.15
HUMAN_SPEECH: Final = "two_cities.wav"
MAX_HUMAN_WORD_ERROR_RATE: Final = 0.10
# How far the billed audio may be from the sample's length.
MAX_BILL_DIFFERENCE_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo saw. Seconds of audio as the engine heard and as PostgreSQL bills them.

    `human_word_error_rate`: of the person's reading; None where there is no such recording. `failover`: how the stream
    went on at another STT server; None if its own was not killed.
    """

    ok: bool
    words: int
    word_error_rate: float
    heard_seconds: float
    request_id: str
    billed_seconds: float
    billed_request_id: str
    close_code: int
    human_word_error_rate: float | None
    failovers: int
    failover: Failover | None


async def demo(
    address: str, key: str, database_url: str, console: Console, *, as_json: bool, engines: Engines | None = None
) -> bool:
    """Stream the sample in real time, upload the other; True if words and bills are right. Prints what it sees.

    `engines`: the one of them that has the stream is killed meanwhile.
    """
    console.say()
    console.say("Streaming the recorded sample through the balancer, ws-proxy and the STT server:", style="bold")
    printer = WordPrinter(console.output)
    truth = SAMPLE.with_suffix(".txt").read_text()
    try:
        kill = EngineKill(engines, printer, console.say) if engines is not None else None
        async with kill.watching() if kill is not None else nullcontext():
            stream = await stream_file(SAMPLE, address, key, on_message=kill or printer)
        failover = await kill.outcome(stream.request_id) if kill is not None else None
        row = await final_usage_row(database_url, stream.request_id)
        human = await _human_speech(address, key, database_url, console)
    except (StreamFailed, NotBilled, NoFailover) as failure:
        console.fail(str(failure))
        return False
    except (OSError, asyncpg.PostgresError) as error:
        console.fail(f"The bill cannot be read from PostgreSQL: {type(error).__name__}")
        return False
    rate = word_error_rate(truth, stream.transcript)
    billed = row["audio_ms"] / 1000
    faults = [] if human is None else human.faults
    if rate > MAX_WORD_ERROR_RATE:
        faults.append(f"The word error rate is {rate:.2f}, at most {MAX_WORD_ERROR_RATE} is allowed.")
    faults += _bill_faults(stream.duration, billed)
    if row["failovers"] != (failover is not None):
        faults.append(f"The usage row has {row['failovers']} failovers, {int(failover is not None)} were expected.")
    outcome = Outcome(
        ok=not faults,
        words=len(words_of(stream.transcript)),
        word_error_rate=rate,
        heard_seconds=stream.duration,
        request_id=stream.request_id,
        billed_seconds=billed,
        billed_request_id=row["request_id"],
        close_code=row["close_code"],
        human_word_error_rate=None if human is None else human.word_error_rate,
        failovers=row["failovers"],
        failover=failover,
    )
    if as_json:
        result = Output(sys.stdout)
        result.write(json.dumps(asdict(outcome)) + "\n")
        result.flush()
    else:
        console.show(_table(outcome))
    for fault in faults:
        console.fail(fault)
    return outcome.ok


@dataclass(frozen=True, slots=True)
class _Human:
    word_error_rate: float
    faults: list[str]


async def _human_speech(address: str, key: str, database_url: str, console: Console) -> _Human | None:
    """Upload a person's reading. None if its recording is not here. Raises StreamFailed, NotBilled."""
    path = recording(HUMAN_SPEECH)
    if path is None:
        console.say("A recording of a person comes with the moonshine engine, which is not installed here.")
        return None
    console.say()
    console.say("Uploading a person's reading through the balancer, http-proxy and the STT server:", style="bold")
    upload = await upload_file(path, address, key)
    console.say(f"  {upload.transcript}")
    row = await final_usage_row(database_url, upload.request_id)
    rate = word_error_rate(RECORDINGS[HUMAN_SPEECH], upload.transcript)
    faults = _bill_faults(upload.duration, row["audio_ms"] / 1000)
    # pocketsphinx, where it was chosen, understands three words of four.
    if rate > MAX_HUMAN_WORD_ERROR_RATE and os.environ.get("STT_ENGINE") != "pocketsphinx":
        faults.append(f"The reading's word error rate is {rate:.2f}, at most {MAX_HUMAN_WORD_ERROR_RATE} is allowed.")
    return _Human(rate, faults)


def _bill_faults(heard: float, billed: float) -> list[str]:
    if abs(billed - heard) <= MAX_BILL_DIFFERENCE_SECONDS:
        return []
    return [f"{billed:.3f} s are billed, but {heard:.3f} s were heard."]


def _table(outcome: Outcome) -> Table:
    table = Table(title="words and bill", title_justify="left")
    table.add_column("what")
    table.add_column("seen", justify="right", overflow="fold")  # an id is whole in a narrow terminal too
    human = outcome.human_word_error_rate
    for what, seen in (
        ("words", str(outcome.words)),
        ("word error rate", f"{outcome.word_error_rate:.3f}"),
        ("word error rate of a person's reading", "no recording" if human is None else f"{human:.3f}"),
        ("audio heard", f"{outcome.heard_seconds:.3f} s"),
        ("audio billed (usage row in PostgreSQL)", f"{outcome.billed_seconds:.3f} s"),
        ("request id of the stream", outcome.request_id),
        ("request id of the usage row", outcome.billed_request_id),
        ("close code", str(outcome.close_code)),
        *_of_failover(outcome),
    ):
        table.add_row(what, seen)
    return table


def _of_failover(outcome: Outcome) -> list[tuple[str, str]]:
    failover = outcome.failover
    if failover is None:
        return []
    return [
        ("STT server that was killed", f"{failover.killed} (process {failover.pid})"),
        ("STT server that went on", failover.went_on_at),
        ("gap between its words", f"{failover.gap_ms} ms"),
        ("audio that it was sent again", f"{failover.replayed_ms / 1000:.3f} s"),
        ("failovers in the usage row", str(outcome.failovers)),
    ]
