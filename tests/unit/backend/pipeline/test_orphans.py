from dataclasses import asdict, replace

from aldea.usage.reading import Rank
from backend.pipeline.orphans import Checkpoint, closing
from tests.readings import reading


def test_the_closing_reading_says_what_the_last_checkpoint_said_and_ranks_above_it() -> None:
    checkpoint = reading(
        seq=7,
        audio_ms=70_000,
        connection_ms=71_000,
        bytes_in=9,
        tags=("a",),
        status=101,
        failovers=2,
        first_word_ms=812,
    )
    row = {**asdict(checkpoint), "tags": ["a"]}
    del row["rank"], row["traceparent"]  # its row has the trace already
    closed = closing(Checkpoint(**row))
    assert (closed.rank, closed.seq) == (Rank.INCOMPLETE, 7)
    assert checkpoint.order < closed.order < replace(checkpoint, seq=8).order
    assert {**asdict(closed), "rank": Rank.OPEN} == asdict(checkpoint)
