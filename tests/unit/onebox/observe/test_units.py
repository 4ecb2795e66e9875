import json
from pathlib import Path

import pytest

from onebox.home import Home
from onebox.observe import units as observe
from onebox.observe.faster import MOST, faster
from onebox.units import SERVICES, plan, units


def test_an_observed_onebox_serves_metrics_of_every_service_and_a_page_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observe, "installed", lambda: ["prometheus", "grafana"])
    monkeypatch.setattr(observe, "_grafana", lambda: ("/usr/bin/grafana", "server"))
    chosen = plan(Home(tmp_path / "box"), 0, {}, observed=True)
    found = {unit.spec.name: unit.spec for unit in units(chosen)}
    ports = {name: found[name].env["METRICS_PORT"] for name in (*SERVICES, "stt_api")}
    assert len(set(ports.values())) == len(ports)
    pages = json.loads(found["observe"].env["TARGETS"])
    assert pages == {name: f"http://127.0.0.1:{port}/metrics" for name, port in ports.items()}
    folder = tmp_path / "box" / "observe"
    listed = json.loads((folder / "targets.json").read_text())
    assert {each["labels"]["service"]: each["targets"] for each in listed} == {
        name: [f"127.0.0.1:{port}"] for name, port in ports.items()
    }
    assert [each["labels"].get("lane") for each in listed].count("local") == 2
    assert (folder / "rules.yml").read_text() == (observe.SHIPPED / "rules.yml").read_text()
    assert found["grafana"].env["ALDEA_PROMETHEUS_URL"] == chosen.address("prometheus")


def test_otherwise_nothing_of_it_is_there(tmp_path: Path) -> None:
    chosen = plan(Home(tmp_path / "box"), 0, {})
    found = {unit.spec.name: unit.spec for unit in units(chosen)}
    assert not {"observe", "prometheus", "grafana"} & found.keys()
    assert not [name for name, spec in found.items() if "METRICS_PORT" in spec.env]


def test_what_is_not_installed_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert observe.installed() == []
    chosen = plan(Home(tmp_path / "box"), 0, {}, observed=True)
    assert {"observe", "prometheus", "grafana"} & {unit.spec.name for unit in units(chosen)} == {"observe"}


def test_for_an_exercise_prometheus_gets_the_rules_in_quick_motion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observe, "installed", lambda: ["prometheus"])
    units(plan(Home(tmp_path / "box"), 0, {}, observed=True, faster=MOST))
    for name in ("rules.yml", "prometheus.yml"):
        shipped = (observe.SHIPPED / name).read_text()
        assert (tmp_path / "box" / "observe" / name).read_text() == faster(shipped, MOST) != shipped
