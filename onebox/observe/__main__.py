"""`python -m onebox.observe`: write the rules and dashboards of `observability/` anew (`make observability`)."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from onebox.home import ROOT
from onebox.observe import cloudwatch, dashboards, rules

FOLDER: Final = ROOT / "observability"


def files() -> Iterator[tuple[Path, str]]:
    """Each file that is made of tables, with its text."""
    yield FOLDER / "rules.yml", rules.text()
    yield ROOT / "infra" / "aldea_infra" / "components" / "objectives.json", cloudwatch.text()
    for dashboard in dashboards.DASHBOARDS:
        name = f"{dashboard.uid.removeprefix('aldea-')}.json"
        yield FOLDER / "grafana" / "dashboards" / name, dashboards.document(dashboard)


def main() -> int:
    """Write them; exit status 0."""
    for path, text in files():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
