import json
import math

from aldea.load.course import Result, Stage, Window
from aldea.load.plan import Plan
from aldea.load.report import document, lines, progress
from aldea.load.tally import Tally
from aldea.load.verdict import Objectives, judge

PLAN = Plan("http://127.0.0.1:8080", 10, 5.0, 30.0)


def tally() -> Tally:
    made = Tally()
    made.attempts = made.opened = 10
    made.ended = 9
    made.fail("close 1011")
    made.fail_upload("status 503")
    made.uploads = 3
    made.connect.add(0.01)
    for seconds in (*[0.5] * 8, math.inf):
        made.first_words.add(seconds)
    made.final_lag.add(0.25)
    return made


def finished(plan: Plan = PLAN, **fields: object) -> Result:
    seen = tally()
    result = Result(plan, seconds=35.0, most_open=10, total=seen, judged=judge(seen, Objectives()))
    result.windows.append(Window(0.0, 2.0, 10, 10, seen))
    for name, value in fields.items():
        setattr(result, name, value)
    return result


def searched() -> Result:
    plan = Plan(PLAN.url, 10, 5.0, 30.0, saturation=True)
    stages = [
        Stage(streams, carried, seen, judge(seen, Objectives()))
        for streams, carried, seen in ((4, True, Tally()), (8, False, tally()))
    ]
    return finished(plan, stages=stages, saturation=4, limit=8)


def test_the_document_is_json_with_every_figure_and_the_verdict() -> None:
    found = json.loads(json.dumps(document(finished()), allow_nan=False))
    assert found["streams"]["failures"] == {"close 1011": 1}
    assert found["seconds"] == 35.0
    assert found["latencies"]["first_words"]["p99"] is None
    assert found["verdict"]["kept"] is False
    assert [each["kept"] for each in found["verdict"]["objectives"]] == [False, False, True]
    assert found["course"][0]["failed"] == 1
    assert "saturation" not in found


def test_the_document_of_a_search_names_what_limits() -> None:
    found = document(searched())["saturation"]
    assert (found["streams"], found["not_carried"], found["by"]) == (4, 8, "close 1011")
    assert [stage["carried"] for stage in found["stages"]] == [True, False]


def test_a_person_reads_failures_by_cause_and_the_verdict() -> None:
    text = "\n".join(lines(finished()))
    assert "close 1011" in text
    assert "failed upload: status 503" in text
    assert "FAIL  Streams are accepted" in text
    assert text.endswith("the objectives are NOT KEPT")
    assert "p95 never" in text
    search = "\n".join(lines(searched()))
    assert "saturation point: 4 streams; 8 fail by: close 1011" in search


def test_a_generator_that_was_late_itself_gives_no_verdict() -> None:
    late = finished(own_lag=0.6)
    assert not late.kept
    assert "NO VERDICT: this program itself ran up to 0.60 s late" in "\n".join(lines(late))


def test_progress_is_one_line() -> None:
    line = progress(Window(10.0, 2.0, 10, 8, tally()))
    assert line.startswith("   12 s  8/10 streams  3 uploads  failed ")
    assert "first words p95 never" in line
    assert "\n" not in line
