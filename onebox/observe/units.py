"""What `make observe` runs beside the platform: the page of figures, and Prometheus and Grafana where installed."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from onebox import stores
from onebox.home import ROOT, private_file
from onebox.observe.faster import faster
from onebox.process import ProcessSpec

PAGE: Final = "observe"
PROMETHEUS: Final = "prometheus"
GRAFANA: Final = "grafana"
SHIPPED: Final = ROOT / "observability"
_GRAFANA_HOMES: Final = (Path("/usr/share/grafana"), Path("/opt/homebrew/opt/grafana/share/grafana"))


def installed() -> list[str]:
    """Which of both are on this machine."""
    found = [PROMETHEUS] if shutil.which("prometheus") else []
    return [*found, *([GRAFANA] if _grafana() else [])]


def metrics_port(service: str) -> str:
    """The name of the port of a service's /metrics, among the onebox's ports."""
    return f"{service}-metrics"


def prometheus(folder: Path, port: int, targets: Mapping[str, str], lane: str, factor: int = 1) -> ProcessSpec:
    """Prometheus with the shipped rules. `targets`: host and port of /metrics by service; `folder`: of its files.

    `factor`: how many times as fast as shipped (see `faster`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("prometheus.yml", "rules.yml"):
        (folder / name).write_text(faster((SHIPPED / name).read_text(), factor))
    listed = [
        {
            "targets": [address],
            "labels": {"job": "aldea", "service": service, **({"lane": lane} if service.endswith("_proxy") else {})},
        }
        for service, address in targets.items()
    ]
    (folder / "targets.json").write_text(json.dumps(listed, indent=1) + "\n")
    return ProcessSpec(
        name=PROMETHEUS,
        argv=(
            shutil.which("prometheus") or "prometheus", f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}", "--enable-feature=exemplar-storage",
            f"--web.listen-address=127.0.0.1:{port}",
        ),
        ready=lambda: stores.http_ok(f"http://127.0.0.1:{port}/-/ready"),
    )  # fmt: skip


def grafana(folder: Path, port: int, prometheus_url: str, database_url: str) -> ProcessSpec:
    """Grafana with the shipped data sources and dashboards, open to whoever reaches this machine's loopback."""
    folder.mkdir(parents=True, exist_ok=True)
    database = urlsplit(database_url)
    settings = folder / "grafana.ini"
    private_file(settings, "")
    return ProcessSpec(
        name=GRAFANA,
        argv=(*_grafana(), f"--homepath={_home()}", f"--config={settings}"),
        env={
            "GF_PATHS_DATA": str(folder / "data"),
            "GF_PATHS_PROVISIONING": str(SHIPPED / "grafana" / "provisioning"),
            "GF_SERVER_HTTP_ADDR": "127.0.0.1",
            "GF_SERVER_HTTP_PORT": str(port),
            "GF_AUTH_ANONYMOUS_ENABLED": "true",
            "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "ALDEA_DASHBOARDS": str(SHIPPED / "grafana" / "dashboards"),
            "ALDEA_PROMETHEUS_URL": prometheus_url,
            "ALDEA_POSTGRES_HOST": f"{database.hostname}:{database.port or 5432}",
            "ALDEA_POSTGRES_USER": database.username or "",
            "ALDEA_POSTGRES_PASSWORD": database.password or "",
            "ALDEA_POSTGRES_DATABASE": database.path.lstrip("/"),
            "ALDEA_POSTGRES_SSLMODE": "disable",
        },
        ready=lambda: stores.http_ok(f"http://127.0.0.1:{port}/api/health"),
    )


def _grafana() -> tuple[str, ...]:
    if (found := shutil.which("grafana")) and _home():
        return (found, "server")
    if (found := shutil.which("grafana-server")) and _home():
        return (found,)
    return ()


def _home() -> Path | None:
    return next((path for path in _GRAFANA_HOMES if path.is_dir()), None)
