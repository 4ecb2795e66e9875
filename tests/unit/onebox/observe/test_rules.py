"""The rules: that they are what the tables say, and that promtool takes them where it is installed."""

import shutil
import subprocess

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
