"""The reconciliation against a real PostgreSQL: it finds nothing, also beside writers, unless somebody broke it."""

import asyncio
import json
import os
import sys
from datetime import date
from pathlib import Path
from typing import Any

from aldea.ids import new_request_id
from aldea.postgres import Database
from aldea.usage.envelope import Stamped
from aldea.usage.reading import Rank
from backend.pipeline.charges import reconcile_charges
from backend.pipeline.rollups import reconcile
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import Writer
from tests.readings import KEY, PROJECT, STARTED_MS, reading

ROOT = Path(__file__).resolve().parents[3]
DAY = date(2026, 3, 31)
# A Python process that starts on a busy machine.
COMMAND_SECONDS = 120.0


async def test_beside_running_writers_nothing_differs(database: Database) -> None:
    ids = [new_request_id() for _ in range(200)]
    running = True

    async def write(seq: int) -> None:
        while running:
            seq += 3
            batch = [Stamped(reading(request_id=one, seq=seq, audio_ms=seq), 0) for one in ids]
            await Writer(database).merge(reduce_batch(batch))

    writers = asyncio.gather(*(write(seq) for seq in range(3)))
    try:
        for _ in range(20):
            assert await reconcile(database, DAY, repair=False) == []
    finally:
        running = False
        await writers
    assert await reconcile(database, DAY) == []


async def test_a_wrong_rollup_is_named_and_repaired(database: Database) -> None:
    writer = Writer(database)
    await writer.merge([reading(audio_ms=1000, bytes_in=7, rank=Rank.FINAL)])
    await writer.merge([reading(audio_ms=500, path="/transcribe", started_ms=STARTED_MS)])
    await writer.merge([reading(audio_ms=3, started_ms=STARTED_MS + 1000)])
    async with database.connection() as connection:
        await connection.execute("update usage_daily set audio_ms = audio_ms + 5 where endpoint = '/v1/listen'")
        await connection.execute("delete from usage_daily where endpoint = '/transcribe'")
        await connection.execute(
            "insert into usage_daily values ($1, $2, $3, 'streaming', 'other', 9, 9, 9, 9, 9)", PROJECT, DAY, KEY
        )
    looked = await reconcile(database, DAY, repair=False)
    assert [(one.endpoint, one.stored[:2], one.recomputed[:2]) for one in looked] == [
        ("/transcribe", [0, 0], [1, 500]),
        ("/v1/listen", [1, 1005], [1, 1000]),
        ("other", [9, 9], [0, 0]),
    ]
    assert await reconcile(database, DAY) == looked
    assert await reconcile(database, DAY) == []
    [other_day] = await reconcile(database, date(2026, 4, 1))
    assert other_day.stored[1] == 8


async def test_a_writer_that_commits_meanwhile_is_not_overwritten(database: Database) -> None:
    one = reading(audio_ms=1000)
    await Writer(database).merge([one])
    async with database.connection() as connection:
        await connection.execute("update usage_daily set audio_ms = 1")
    grow = [reading(request_id=one.request_id, seq=seq, audio_ms=seq * 1000) for seq in range(2, 30)]

    async def write() -> None:
        for later in grow:
            await Writer(database).merge([later])

    await asyncio.gather(write(), reconcile(database, DAY))
    assert await reconcile(database, DAY, repair=False) == []
    async with database.connection() as connection:
        assert await connection.fetchval("select audio_ms from usage_daily") == 29_000


async def command(database_url: str, *arguments: str) -> tuple[int | None, str]:
    """Exit status and standard output of `python -m backend reconcile`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "backend",
        "reconcile",
        *arguments,
        env={**os.environ, "PYTHONPATH": f"{ROOT}/services", "DATABASE_URL": database_url},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(COMMAND_SECONDS):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_the_commands_exit_status_says_whether_something_differed(database: Database, database_url: str) -> None:
    await Writer(database).merge([reading(audio_ms=1000)])
    assert await command(database_url, "--day", "2026-03-31") == (0, "2026-03-31: nothing differed\n")
    async with database.connection() as connection:
        await connection.execute("update usage_daily set audio_ms = 7")
    status, output = await command(database_url, "--day", "2026-03-31", "--json", "--no-repair")
    found: dict[str, Any] = json.loads(output)
    assert (status, found["day"], found["mended"]) == (3, "2026-03-31", False)
    [difference] = found["differences"]
    assert (difference["stored"]["audio_ms"], difference["recomputed"]["audio_ms"]) == (7, 1000)
    status, output = await command(database_url, "--day", "2026-03-31")
    assert status == 3
    assert "audio_ms 7 → 1000" in output
    assert "rollups that differed: 1, repaired" in output
    assert await reconcile(database, DAY) == []


async def test_a_wrong_charge_is_named_and_repaired_with_its_rollup(database: Database) -> None:
    one, other = reading(audio_ms=1000), reading(audio_ms=2000)
    await Writer(database).merge(reduce_batch([Stamped(one, 0), Stamped(other, 0)]))
    async with database.connection() as connection:
        await connection.execute("update usage_requests set charge_micros = 1 where request_id = $1", one.request_id)
        # What a release without a price book wrote.
        await connection.execute(
            "update usage_requests set price_id = null, charge_micros = 0 where request_id = $1", other.request_id
        )
        await connection.execute("update usage_daily set charge_micros = 1")
    found = await reconcile_charges(database, DAY, repair=False)
    assert {str(wrong.request_id): (wrong.stored, wrong.recomputed) for wrong in found} == {
        one.request_id: (1, 100), other.request_id: (0, 200)
    }  # fmt: skip
    assert await reconcile_charges(database, DAY) == found
    assert await reconcile_charges(database, DAY) == []
    assert await reconcile(database, DAY) == []


async def test_a_reading_gives_a_price_to_a_request_that_has_none(database: Database) -> None:
    one = reading(audio_ms=1000)
    await Writer(database).merge([one])
    async with database.connection() as connection:
        await connection.execute("update usage_requests set price_id = null, charge_micros = 0")
        await connection.execute("update usage_daily set charge_micros = 0")
    await Writer(database).merge([reading(request_id=one.request_id, seq=2, audio_ms=3000)])
    assert await reconcile_charges(database, DAY) == []
    assert await reconcile(database, DAY) == []
