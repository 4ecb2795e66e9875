import math

import pytest

from onebox.observe.figures import GRAPHS, figures, quantile, samples

THEN = """
# TYPE aldea_active_streams gauge
aldea_active_streams 3
# TYPE aldea_ws_handshakes_total counter
aldea_ws_handshakes_total{status="101"} 10
aldea_ws_handshakes_total{status="503"} 0
# TYPE aldea_ws_first_words_seconds histogram
aldea_ws_first_words_seconds_bucket{lane="a",server="s",le="0.5"} 5
aldea_ws_first_words_seconds_bucket{lane="a",server="s",le="1.0"} 5
aldea_ws_first_words_seconds_bucket{lane="a",server="s",le="+Inf"} 5
aldea_ws_first_words_seconds_count{lane="a",server="s"} 5
aldea_ws_first_words_seconds_sum{lane="a",server="s"} 1
python_info 1
"""
NOW = (
    THEN.replace("streams 3", "streams 7").replace('"101"} 10', '"101"} 30').replace('"503"} 0', '"503"} 5')
    .replace('le="1.0"} 5', 'le="1.0"} 15').replace('le="+Inf"} 5', 'le="+Inf"} 15')
)  # fmt: skip


def test_rates_and_percentiles_are_of_what_happened_in_between() -> None:
    found = figures(samples(THEN, "ws_proxy"), samples(NOW, "ws_proxy"), 10.0)
    by_line = dict(zip([line for graph in GRAPHS for line in graph.lines], found, strict=True))
    assert (by_line["streams"], by_line["accepted"], by_line["refused"]) == (7, 2.0, 0.5)
    assert by_line["first words p50"] == pytest.approx(0.75)
    assert by_line["final lag p50"] is None  # nothing came


def test_a_process_that_began_anew_counts_from_nothing() -> None:
    found = figures(samples(NOW, "ws_proxy"), samples(THEN, "ws_proxy"), 10.0)
    assert found[1] == 1.0


@pytest.mark.parametrize(
    ("buckets", "part", "value"),
    [
        ([], 0.5, None),
        ([(1.0, 0.0), (math.inf, 0.0)], 0.5, None),
        ([(1.0, 10.0), (2.0, 20.0), (math.inf, 20.0)], 0.5, 1.0),
        ([(1.0, 10.0), (2.0, 20.0), (math.inf, 20.0)], 0.75, 1.5),
        ([(1.0, 0.0), (2.0, 1.0), (math.inf, 4.0)], 0.95, 2.0),
    ],
)
def test_a_quantile_lies_between_its_buckets_bounds(
    buckets: list[tuple[float, float]], part: float, value: float | None
) -> None:
    assert quantile(buckets, part) == value
