import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_proxy.websocket import rewriter
from ws_proxy.websocket.rewriter import Heard, seconds, shifted, without_repeated_words

OFFSET = Decimal("10.5")


def decimals(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"type":"Results","start":1.230,"duration":2}', '{"type":"Results","start":11.73,"duration":2}'),
        ('{ "type" : "SpeechStarted", "timestamp" : 0 }', '{ "type" : "SpeechStarted", "timestamp" : 10.5 }'),
        ('{"type":"UtteranceEnd","last_word_end":-1}', '{"type":"UtteranceEnd","last_word_end":-1}'),
        ('{"type":"UtteranceEnd","last_word_end":-1.0}', '{"type":"UtteranceEnd","last_word_end":-1.0}'),
        ('{"type":"Results","start":-0.02,"duration":1}', '{"type":"Results","start":10.48,"duration":1}'),
        ('{"type":"SpeechStarted","timestamp":-0.0}', '{"type":"SpeechStarted","timestamp":10.5}'),
        ('{"type":"UtteranceEnd","last_word_end":0.5}', '{"type":"UtteranceEnd","last_word_end":11.0}'),
        ('{"type":"Metadata","duration":3.000001}', '{"type":"Metadata","duration":13.500001}'),
        ('{"type":"Results","start":1e-3}', '{"type":"Results","start":10.501}'),
        ('{"start":1,"type":"Error","end":2}', '{"start":1,"type":"Error","end":2}'),
        ('{"type":"Results","metadata":{"start":1},"s":"\\"start\\":1"}',) * 2,
        ('{"type":"Results","st\\u0061rt":1}', '{"type":"Results","st\\u0061rt":11.5}'),
        ('{"type":"Results","start":"1","start_time":1,"x":[{"start":1}]}',) * 2,
        ('{"type":"Results","start":NaN,"end":1}',) * 2,
        ('{"type":"Results","start":-Infinity,"metadata":{"start":1}}',) * 2,
        ('{"type":"Results","start":NaN,"x\\"start":1}',) * 2,
        (
            '{"type":"Results","start":1,"start":"x","y":{"end":2}}',
            '{"type":"Results","start":11.5,"start":"x","y":{"end":2}}',
        ),
        ('{"type":"Results","start" :\n\t1,"x":{"y":1}}', '{"type":"Results","start" :\n\t11.5,"x":{"y":1}}'),
        ('{"type":"Results","channel":{"start":{"end":1}}}', '{"type":"Results","channel":{"start":{"end":11.5}}}'),
        (
            '{"type":"Results","st\\u0061rt":1,"metadata":{"start":1}}',
            '{"type":"Results","st\\u0061rt":11.5,"metadata":{"start":1}}',
        ),
        ('{"type":"Results","start":-Infinity,"end":1}',) * 2,
        ('{"type":"Results","start":1e-9,"end":1}', '{"type":"Results","start":10.500000001,"end":1}'),
        ('{"type":["Results"],"start":1}',) * 2,
        ("not json, start: 1",) * 2,
        ("[1]",) * 2,
        ("[" * 100_000,) * 2,
        ('{"type":"Results","start":' + "9" * 400 + "}",) * 2,
        (
            (
                '{"type":"Results","channel_index":[1,2],"start":0.0,"channel":{"alternatives":[{"confidence":0.98760,'
                '"transcript":"start end","words":[{"word":"start","start":0.25,"end":0.5,"confidence":1e-05}]}]}}'
            ),
            (
                '{"type":"Results","channel_index":[1,2],"start":10.5,"channel":{"alternatives":[{"confidence":0.98760,'
                '"transcript":"start end","words":[{"word":"start","start":10.75,"end":11.0,"confidence":1e-05}]}]}}'
            ),
        ),
        (
            '{"type":"Results","utterances":[{"start":1,"end":2,"channel":1,"words":[{"start":1,"end":2}]}]}',
            '{"type":"Results","utterances":[{"start":11.5,"end":12.5,"channel":1,"words":[{"start":11.5,"end":12.5}]}]}',
        ),
    ],
)
def test_times_are_shifted_and_nothing_else_is_touched(before: str, after: str) -> None:
    assert shifted(before, OFFSET) == after


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats(0, 1e6, allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["start", "end", "words", "type", "duration", "timestamp", "last_word_end"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
MESSAGES = st.fixed_dictionaries(
    {"type": st.sampled_from(["Results", "Metadata", "SpeechStarted", "UtteranceEnd", "Other"])},
    optional=dict.fromkeys(
        ("start", "duration", "timestamp", "last_word_end", "channel", "words", "utterances", "metadata"), VALUES
    ),
)


@given(MESSAGES, st.booleans(), st.booleans())
def test_what_is_read_by_name_is_what_every_token_says(message: dict[str, Any], tight: bool, ascii_only: bool) -> None:
    text = json.dumps(message, separators=(",", ":") if tight else None, ensure_ascii=ascii_only)
    at_top = rewriter._AT_TOP.get(message["type"], frozenset())
    every = list(rewriter._times(text, at_top))
    assert rewriter._named(text, at_top, message) in ([], every)


@pytest.mark.parametrize("depth", [100, 400, 900])
def test_times_are_found_however_deep_they_are(depth: int) -> None:
    text = '{"type":"Results","channel":' + '{"x":' * depth + '{"start":1}' + "}" * (depth + 1)
    assert shifted(text, OFFSET) in (text.replace('"start":1', '"start":11.5'), text)


def test_a_usual_result_is_read_by_name() -> None:
    words = [{"word": "é", "start": n / 4, "end": n / 4 + 0.1, "confidence": 1e-05} for n in range(8)]
    message = {"type": "Results", "start": 1.5, "duration": 2, "channel": {"alternatives": [{"words": words}]}}
    found = rewriter._named(json.dumps(message), frozenset({"start"}), message)
    assert found == list(rewriter._times(json.dumps(message), frozenset({"start"})))
    assert len(found) == 17


@given(MESSAGES, st.integers(0, 10**7), st.sampled_from([8000, 16_000, 44_100, 48_000]), st.booleans())
def test_whatever_a_message_holds_every_time_in_it_moves_by_the_offset_and_all_else_stays(
    message: dict[str, Any], frames: int, rate: int, compact: bool
) -> None:
    offset = seconds(frames, rate)
    top = {"Results": {"start"}, "Metadata": {"duration"}, "SpeechStarted": {"timestamp"}}
    top["UtteranceEnd"] = {"last_word_end"}

    def moved(value: Any) -> Any:
        return value + offset if isinstance(value, Decimal) else value

    def inside(value: Any) -> Any:
        if isinstance(value, list):
            return [inside(one) for one in value]
        if isinstance(value, dict):
            return {
                name: moved(one) if name in ("start", "end") and isinstance(one, Decimal) else inside(one)
                for name, one in value.items()
            }
        return value

    text = json.dumps(message, separators=(",", ":") if compact else None, ensure_ascii=compact)
    expected = {
        name: inside(value)
        if name in ("channel", "words", "utterances")
        else moved(value)
        if not (name == "last_word_end" and isinstance(value, Decimal) and str(value)[0] == "-")
        and name in top.get(message["type"], ())
        else value
        for name, value in decimals(text).items()
    }
    assert decimals(shifted(text, offset)) == expected


@given(st.integers(1, 10**9), st.sampled_from([4000, 8000, 11_025, 16_000, 22_050, 44_100, 48_000, 192_000]))
def test_an_offset_is_right_to_a_sample_and_a_float_that_is_made_of_it_too(frames: int, rate: int) -> None:
    assert round(float(seconds(frames, rate)) * rate) == frames


def test_a_channel_that_was_further_than_the_others_gets_no_word_twice() -> None:
    heard = Heard()
    heard.final(0, 4.0)
    heard.final(1, 2.5)
    heard.final(0, 3.0)
    assert (heard.end(0), heard.common(2), heard.common(3)) == (4.0, 2.5, 0.0)
    words = [{"word": text, "start": at, "end": at + 0.5} for text, at in (("a", 3.0), ("b", 4.0), ("c", 5.0))]

    def results(start: float, duration: float) -> dict[str, Any]:
        alternative = {"transcript": "a b c", "words": list(words)}
        return {"type": "Results", "start": start, "duration": duration, "channel": {"alternatives": [alternative]}}

    assert without_repeated_words(results(2.5, 1.5), 4.0) is None
    assert without_repeated_words(results(4.0, 1.5), 4.0) == results(4.0, 1.5)
    cut = without_repeated_words(results(2.5, 3.5), 4.0)
    assert cut is not None
    assert (cut["start"], cut["duration"]) == (4.0, 2.0)
    assert cut["channel"]["alternatives"][0] == {"transcript": "b c", "words": words[1:]}
    assert without_repeated_words({"type": "Results"}, 4.0) == {"type": "Results"}
    huge = 10**400
    for strange in (results(huge, 0.5), results(0.5, huge), results(-huge, 0.5), results(2.5, 1e308)):
        assert without_repeated_words(strange, 4.0) is not None
    with_huge = results(2.5, 3.5)
    with_huge["channel"]["alternatives"][0]["words"] = [{"word": "x", "start": huge, "end": 0.5}]
    assert without_repeated_words(with_huge, 4.0) is not None
    odd = results(2.5, 3.5) | {"channel": {"alternatives": [None, {"words": 1}, {"words": [1, {"word": "x"}]}]}}
    assert without_repeated_words(odd, 4.0) is not None
