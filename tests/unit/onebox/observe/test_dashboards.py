import json
from pathlib import Path

import pytest

from onebox.observe.__main__ import FOLDER, files
from onebox.observe.dashboards import DASHBOARDS, POSTGRES, PROMETHEUS


def test_the_five_dashboards_are_shipped() -> None:
    names = {path.stem for path in (FOLDER / "grafana" / "dashboards").glob("*.json")}
    assert names == {"platform", "lane", "customer", "usage", "money"}


@pytest.mark.parametrize(
    ("path", "text"), list(files()), ids=lambda value: value.stem if isinstance(value, Path) else ""
)
def test_what_is_shipped_is_what_the_tables_say(path: Path, text: str) -> None:
    assert path.read_text() == text, "run `make observability` and commit what it writes"


def test_panels_do_not_overlap_and_name_a_data_source_that_is_provisioned() -> None:
    provisioned = (FOLDER / "grafana" / "provisioning" / "datasources" / "aldea.yml").read_text()
    assert all(source["uid"] in provisioned for source in (POSTGRES, PROMETHEUS))
    for dashboard in DASHBOARDS:
        path = FOLDER / "grafana" / "dashboards" / f"{dashboard.uid.removeprefix('aldea-')}.json"
        model = json.loads(path.read_text())
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in model["panels"]]
        assert len(set(places)) == len(places) == len(dashboard.panels)
        for panel in model["panels"]:
            assert panel["targets"]
            assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
