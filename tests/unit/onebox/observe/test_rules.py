"""The rules: that they are what the tables say, and that promtool takes them where it is installed."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from aldea.objectives import BURNS, OBJECTIVES
from onebox.observe.__main__ import FOLDER
from onebox.observe.rules import WINDOWS, alerts, burning, errors, text


def test_each_objective_has_its_recordings_and_both_its_alerts() -> None:
    groups = {group["name"]: group["rules"] for group in yaml.safe_load(text())["groups"]}
    recordings = groups["aldea-objectives"]
    assert len(recordings) == len(OBJECTIVES) * (len(WINDOWS) + 1)
    names = [rule["alert"] for rule in groups["aldea-alerts"]]
    assert len(set(names)) == len(names) == len(alerts())
    assert {"AldeaBudgetFastHandshakes", "AldeaBudgetSlowUsageLag"} <= set(names)
    for rule in groups["aldea-alerts"]:
        assert rule["labels"]["severity"] in {"wake", "morning"}
        assert rule["annotations"]["summary"]


def test_an_alert_on_a_budget_needs_both_windows() -> None:
    handshakes = OBJECTIVES[0]
    assert burning(handshakes, BURNS[0]) == (
        'aldea:objective_errors:ratio_rate1h{objective="handshakes"} > 14.4 * 0.001 and '
        'aldea:objective_errors:ratio_rate5m{objective="handshakes"} > 14.4 * 0.001'
    )


def test_what_is_bad_is_a_status_or_a_time_beyond_a_bucket() -> None:
    by_name = {objective.name: objective for objective in OBJECTIVES}
    assert 'status=~"5.*"' in errors(by_name["handshakes"], "5m")
    assert "or vector(0)" in errors(by_name["handshakes"], "5m")
    assert 'aldea_ws_first_words_seconds_bucket{le="4.0"}' in errors(by_name["first_words"], "1h")


def test_each_alert_names_what_operations_says_to_do() -> None:
    known = (FOLDER.parent / "docs" / "operations.md").read_text()
    for alert in alerts():
        found = {name for name in (alert.alarm, f"SERVICE-{alert.alarm}") if f"| `{name}`" in known}
        assert found, f"{alert.name}: {alert.alarm} is not in docs/operations.md"


def test_promtool_takes_the_rules_and_the_configuration() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: the package prometheus)")
    for arguments in (["check", "rules", "rules.yml"], ["check", "config", "--syntax-only", "prometheus.yml"]):
        checked = subprocess.run([promtool, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


# What a staged fault looks like in each alert's series, a value a minute (promtool's notation).
RISING, ONE, NONE, OLD = "0+10x420", "1x420", "0x420", "600x420"
STAGED = {
    'up{job="aldea", service="ws_proxy", instance="a"}': NONE,
    'aldea_upstream_circuit_open{server="s", lane="l"}': ONE,
    'aldea_upstream_places_used{server="s", lane="l"}': "10x420",
    'aldea_upstream_places{server="s", lane="l"}': "10x420",
    'aldea_ws_handshakes_total{status="101"}': RISING,
    'aldea_ws_handshakes_total{status="503"}': RISING,
    **{
        f'{name}_{kind}{{lane="l", server="s"{le}}}': values
        for name in ("aldea_ws_first_words_seconds", "aldea_ws_final_lag_seconds")
        for kind, le, values in (
            ("bucket", ', le="3.0"', NONE), ("bucket", ', le="4.0"', NONE), ("bucket", ', le="10.0"', NONE),
            ("bucket", ', le="20.0"', RISING), ("bucket", ', le="+Inf"', RISING), ("count", "", RISING),
        )
    },
    'aldea_usage_lag_seconds_bucket{le="60.0"}': NONE,
    "aldea_usage_lag_seconds_count": RISING,
    'aldea_readings_dropped_total{service="ws_proxy", kind="final"}': RISING,
    'aldea_redis_available{service="ws_proxy", instance="a"}': NONE,
    "aldea_usage_stream_oldest_seconds": OLD,
    "aldea_usage_queue_oldest_seconds": OLD,
    "aldea_usage_halted": ONE,
    "aldea_usage_dead_letters": ONE,
    'aldea_ws_failovers_failed_total{lane="l", reason="no server"}': RISING,
}  # fmt: skip


@pytest.mark.parametrize("faulty", [True, False])
def test_every_alert_fires_on_its_fault_and_none_without(tmp_path: Path, *, faulty: bool) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: the package prometheus)")
    healthy = {'up{job="aldea", service="ws_proxy", instance="a"}': ONE, "aldea_usage_halted": NONE}
    expected = [{"labels": f'{{alertname="{alert.name}"}}', "value": 1} for alert in alerts()] if faulty else []
    case = {
        "interval": "1m",
        "input_series": [
            {"series": name, "values": values} for name, values in (STAGED if faulty else healthy).items()
        ],
        "promql_expr_test": [
            {
                "expr": 'max by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": "400m",
                "exp_samples": expected,
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(
        json.dumps({"rule_files": [str(FOLDER / "rules.yml")], "evaluation_interval": "1m", "tests": [case]})
    )
    tested = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr
