import asyncio
import io
import json
import logging
import re

import pytest
import structlog
from yarl import URL

from aldea import log
from aldea.log import redact_event
from aldea.redaction import REDACTED
from aldea.tracing.context import Context
from aldea.tracing.trace import RUNNING, Trace
from aldea.usage.reading import Rank

KEY = "org_4fGh7Jk2LmN8pQr3StU6vWx"


def test_the_pipelines_processor_redacts_fields_and_texts() -> None:
    event = redact_event(None, "info", {"token": "abc", "seen": [(KEY,), {KEY: 1}, frozenset({KEY})]})
    assert event["token"] == REDACTED
    assert KEY not in str(event)


def test_a_final_reading_is_logged_whole_and_a_strangers_text_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("ws_proxy")
    structlog.get_logger("m").error("final reading lost", reading="x" * 20_000, path="x" * 20_000)
    line = emitted(capsys)
    assert line["reading"] == "x" * 20_000
    assert line["path"] == "[20000 characters left out]"


def emitted(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1, lines
    found: dict[str, object] = json.loads(lines[0])
    return found


def test_a_log_line_is_one_json_object_with_its_origin(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("ws_proxy", "INFO", "dev")
    structlog.get_logger("some.module").info("happened", request_id="r", key=KEY)
    line = emitted(capsys)
    assert line["event"] == "happened"
    assert (line["service"], line["environment"], line["level"]) == ("ws_proxy", "dev", "info")
    assert (line["logger"], line["request_id"], line["key"]) == ("some.module", "r", REDACTED)
    assert str(line["timestamp"]).endswith("Z")


def test_the_standard_librarys_records_go_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("ws_proxy")
    logging.getLogger("lib").warning("got %s", KEY, extra={"token": "x"})
    line = emitted(capsys)
    assert (line["event"], line["service"], line["token"]) == (f"got {REDACTED}", "ws_proxy", REDACTED)


def test_a_traceback_is_part_of_the_line_and_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("ws_proxy")
    try:
        raise ValueError(f"cannot use {KEY}")
    except ValueError:
        structlog.get_logger("m").exception("failed")
    line = emitted(capsys)
    assert "ValueError: cannot use" in str(line["exception"])
    assert KEY not in str(line)


def test_objects_that_json_does_not_know_are_redacted_too(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("ws_proxy")
    structlog.get_logger("m").info("x", url=URL("redis://u:hidden-pw@h/0"), raw=KEY.encode(), names={1: 2})
    line = emitted(capsys)
    assert line["url"] == f"redis://u:{REDACTED}@h/0"
    assert line["raw"] == REDACTED
    assert line["names"] == {"1": 2}


def test_what_lies_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("ws_proxy", "WARNING")
    structlog.get_logger("m").info("quiet")
    structlog.get_logger("m").warning("loud")
    assert emitted(capsys)["event"] == "loud"


def a_line(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    (line,) = capsys.readouterr().out.splitlines()
    found: dict[str, object] = json.loads(line)
    return found


def test_a_frequent_event_is_the_same_line_as_the_pipelines(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("test", environment="here")
    fields = {"request_id": "0190", "path": f"/v1/{KEY}", "token": "abc", "n": 1, "note": None, "at": [URL("//h/")]}
    fields |= {"yes": True, "no": False, "half": 0.5, "text": '"\n\u00e9\U0001f600', "rank": Rank.FINAL}
    fields["by"] = {(1, 2): 3}
    log.FrequentEvent("a.logger", "request", own=("request_id", "n")).info(**fields)
    direct = a_line(capsys)
    structlog.get_logger("a.logger").info("request", **fields)
    piped = a_line(capsys)
    assert direct.pop("timestamp") != piped.pop("timestamp")
    assert list(direct.items()) == list(piped.items())
    assert direct["path"] == f"/v1/{REDACTED}"
    assert direct["token"] == REDACTED


def test_a_frequent_events_timestamp_is_in_utc_as_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("test")
    log.FrequentEvent("a", "request", own=()).info()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", str(a_line(capsys)["timestamp"]))


def test_a_frequent_event_keeps_to_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("test", "WARNING")
    log.FrequentEvent("a", "request", own=()).info(n=1)
    assert capsys.readouterr().out == ""


def test_a_listener_gets_a_frequent_event_too(caplog: pytest.LogCaptureFixture) -> None:
    log.configure("test")
    logging.getLogger().addHandler(caplog.handler)
    log.FrequentEvent("a", "request", own=("n",)).info(n=1)
    assert "request" in caplog.text


def test_a_frequent_event_outlives_its_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = io.StringIO()
    monkeypatch.setattr("sys.stdout", gone)
    log.configure("test")
    gone.close()
    log.FrequentEvent("a", "request", own=()).info(n=1)
    assert "Logging error" in capsys.readouterr().err


def test_what_bears_a_secrets_name_is_never_taken_for_the_codes_own() -> None:
    with pytest.raises(ValueError, match="api_key: what has such a name is redacted"):
        log.FrequentEvent("a", "request", own=("n", "api_key"))


async def test_lines_of_one_moment_leave_together_and_in_order(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrote = asyncio.Event()
    write = log._lines.write

    def noted() -> None:
        write()
        wrote.set()

    monkeypatch.setattr(log._lines, "write", noted)
    log.configure("test")
    event = log.FrequentEvent("a", "request", own=("n",))
    for number in range(3):
        event.info(n=number)
    assert capsys.readouterr().out == ""
    await asyncio.wait_for(wrote.wait(), 60)
    assert [json.loads(line)["n"] for line in capsys.readouterr().out.splitlines()] == [0, 1, 2]


async def test_a_line_says_what_was_so_when_its_event_was_and_not_when_it_is_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log.configure("test")
    event = log.FrequentEvent("a", "request", own=("request_id",))
    at_ns = [1_700_000_000_123_456_789, 1_700_000_001_000_000_000]
    monkeypatch.setattr("aldea.log.time.time_ns", lambda: at_ns.pop(0))
    trace = RUNNING["0190"] = Trace(Context("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=False))
    trace_id = trace.trace_id
    event.info(request_id="0190")
    del trace  # the request is over
    event.info(request_id="0190")
    log._lines.write()
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["timestamp"], first["trace_id"]) == ("2023-11-14T22:13:20.123456Z", trace_id)
    assert second["timestamp"] == "2023-11-14T22:13:21.000000Z"
    assert "trace_id" not in second


def test_lines_that_a_loop_left_behind_leave_with_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("test")
    event = log.FrequentEvent("a", "request", own=("n",))
    loop = asyncio.new_event_loop()

    async def last_words() -> None:
        loop.call_soon(loop.stop)
        event.info(n=1)
        await asyncio.Event().wait()

    task = loop.create_task(last_words())
    loop.run_forever()
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    event.info(n=2)
    assert [json.loads(line)["n"] for line in capsys.readouterr().out.splitlines()] == [1, 2]


def test_an_event_with_ever_new_fields_is_still_written_right(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("test")
    event = log.FrequentEvent("a", "request", own=("n",))
    for number in range(log.MAX_SHAPES + 2):
        event.info(**{"n": number, f"100%s_{number}": KEY})
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line[f"100%s_{line['n']}"] for line in lines] == [REDACTED] * (log.MAX_SHAPES + 2)
    assert len(event._shapes) == log.MAX_SHAPES


def test_a_line_of_a_request_that_runs_names_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("test")
    trace = RUNNING["0190"] = Trace(Context("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=False))
    structlog.get_logger("m").info("happened", request_id="0190")
    assert a_line(capsys)["trace_id"] == trace.trace_id
    logging.getLogger("m").info("happened", extra={"request_id": "0190"})
    assert a_line(capsys)["event"] == "happened"
    ended = log.FrequentEvent("m", "ended", own=("request_id",))
    ended.info(request_id="0190")
    assert a_line(capsys)["trace_id"] == trace.trace_id
    for other in ({"request_id": "0191"}, {"request_id": None}, {"request_id": ["0190"]}, {}):
        structlog.get_logger("m").info("happened", **other)
        assert "trace_id" not in a_line(capsys)
    del trace
    ended.info(request_id="0190")
    assert "trace_id" not in a_line(capsys)
