"""Grafana's dashboards, from a table of panels: figures from Prometheus, and from PostgreSQL what single customers use.

Labels of metrics are bounded, so no metric knows a project: what a customer uses and pays is in the usage tables.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from onebox.observe.rules import recorded

WIDTH, HEIGHT = 12, 8
PROMETHEUS: Final = {"type": "prometheus", "uid": "aldea-prometheus"}
POSTGRES: Final = {"type": "grafana-postgresql-datasource", "uid": "aldea-postgres"}
# What statements say for Grafana's own macros and variables.
_WRITTEN: Final = {
    "@days": "day between $__timeFrom()::date and $__timeTo()::date",
    "@project": "project_id = '$project'::uuid",
}


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph. `queries`: by legend, in PromQL; with `sql` one statement, a table unless it has a column `time`.

    `units`: of a table's columns that have another one than `unit`.
    """

    title: str
    unit: str
    queries: Mapping[str, str]
    sql: bool = False
    table: bool = False
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; `variables` by name: a label's values, or the statement that lists them."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    variables: Mapping[str, str]


def _quantiles(metric: str, by: str = "", where: str = "") -> dict[str, str]:
    grouped = f"le, {by}" if by else "le"
    legend = f" {{{{{by}}}}}" if by else ""
    return {
        f"p{round(100 * part)}{legend}": (
            f"histogram_quantile({part}, sum by ({grouped}) (rate({metric}_bucket{where}[5m])))"
        )
        for part in (0.5, 0.95)
    }


PLATFORM: Final = Dashboard(
    "aldea-platform", "Aldea: platform",
    (
        Panel("Active streams", "short", {"{{lane}}": "sum by (lane) (aldea_active_streams)"}),
        Panel("Handshakes by status", "reqps", {"{{status}}": "sum by (status) (rate(aldea_ws_handshakes_total[5m]))"}),
        Panel("Recorded audio by status", "reqps", {
            "{{status}}": "sum by (status) (rate(aldea_http_requests_total[5m]))",
        }),
        Panel("Objectives: bad events of an hour", "percentunit", {
            "{{objective}}": recorded("1h"),
        }),
        Panel("Error budget used in 3 days", "percentunit", {
            "{{objective}}": f"{recorded('3d')} / (1 - aldea:objective:target)",
        }),
        Panel("First words", "s", _quantiles("aldea_ws_first_words_seconds")),
        Panel("Lag of finals", "s", _quantiles("aldea_ws_final_lag_seconds")),
        Panel("Refusals at admission", "reqps", {
            "{{reason}}": "sum by (reason) (rate(aldea_admission_refusals_total[5m]))",
        }),
        Panel("Redis: one exchange", "s", _quantiles("aldea_redis_seconds", "service")),
        Panel("Event loop: late by", "s", _quantiles("aldea_event_loop_lag_seconds", "service")),
        Panel("Memory", "bytes", {"{{service}}": "sum by (service) (process_resident_memory_bytes)"}),
        Panel("CPU", "percentunit", {"{{service}}": "sum by (service) (rate(process_cpu_seconds_total[5m]))"}),
    ),
    {},
)  # fmt: skip
LANE: Final = Dashboard(
    "aldea-lane", "Aldea: a lane and its STT servers",
    (
        Panel("Active streams", "short", {"{{instance}}": 'aldea_active_streams{lane=~"$lane"}'}),
        Panel("Places, and those taken", "short", {
            "places {{server}}": 'max by (server) (aldea_upstream_places{lane=~"$lane"})',
            "taken {{server}}": 'max by (server) (aldea_upstream_places_used{lane=~"$lane"})',
        }),
        Panel("First words by server", "s", _quantiles("aldea_ws_first_words_seconds", "server", '{lane=~"$lane"}')),
        Panel("Lag of finals by server", "s", _quantiles("aldea_ws_final_lag_seconds", "server", '{lane=~"$lane"}')),
        Panel("Streams without words", "reqps", {
            "{{lane}}": 'sum by (lane) (rate(aldea_ws_wordless_streams_total{lane=~"$lane"}[5m]))',
        }),
        Panel("Open circuits, servers that are left", "short", {
            "circuit {{server}}": 'max by (server) (aldea_upstream_circuit_open{lane=~"$lane"})',
            "leaving {{server}}": 'max by (server) (aldea_upstream_leaving{lane=~"$lane"})',
        }),
        Panel("Failures of servers", "reqps", {
            "{{server}}": 'sum by (server) (rate(aldea_upstream_failures_total{lane=~"$lane"}[5m]))',
        }),
        Panel("Failovers", "reqps", {
            "{{cause}}": 'sum by (cause) (rate(aldea_ws_failovers_total{lane=~"$lane"}[5m]))',
            "failed: {{reason}}": 'sum by (reason) (rate(aldea_ws_failovers_failed_total{lane=~"$lane"}[5m]))',
        }),
        Panel("Gap of a failover", "s", _quantiles("aldea_ws_failover_gap_seconds", where='{lane=~"$lane"}')),
        Panel("Connections to servers", "s", _quantiles("aldea_ws_upstream_connect_seconds", where='{lane=~"$lane"}')),
        Panel("Closes to clients", "reqps", {
            "{{code}} by {{initiator}}":
                'sum by (code, initiator) (rate(aldea_ws_closes_total{side="client", lane=~"$lane"}[5m]))',
        }),
        Panel("Replay windows", "bytes", {"{{instance}}": 'aldea_ws_replay_window_bytes{lane=~"$lane"}'}),
    ),
    {"lane": "label_values(aldea_ws_replay_window_bytes, lane)"},
)  # fmt: skip
PIPELINE: Final = Dashboard(
    "aldea-usage", "Aldea: usage pipeline",
    (
        Panel("Reading to row", "s", _quantiles("aldea_usage_lag_seconds")),
        Panel("Oldest reading", "s", {
            "Redis": "max(aldea_usage_stream_oldest_seconds)", "SQS": "max(aldea_usage_queue_oldest_seconds)",
        }),
        Panel("Readings that wait", "short", {
            "Redis": "max(aldea_usage_stream_entries)", "SQS (messages)": "max(aldea_usage_queue_messages)",
            "proxies {{service}}": "sum by (service) (aldea_readings_waiting)",
        }),
        Panel("Readings", "ops", {
            "published": "sum(rate(aldea_usage_published_total[5m]))",
            "merged": "sum(rate(aldea_usage_merged_total[5m]))",
            "covered before SQS": "sum(rate(aldea_usage_publisher_coalesced_total[5m]))",
            "covered before PostgreSQL": "sum(rate(aldea_usage_coalesced_total[5m]))",
            "duplicates": "sum(rate(aldea_usage_duplicate_total[5m]))",
            "stale": "sum(rate(aldea_usage_stale_total[5m]))",
        }),
        Panel("Refused, dropped, dead", "short", {
            "refused": "sum(increase(aldea_usage_rejected_total[1h]))",
            "refused by the publisher": "sum(increase(aldea_usage_publisher_rejected_total[1h]))",
            "dropped {{kind}}": "sum by (kind) (increase(aldea_readings_dropped_total[1h]))",
            "dead letters": "max(aldea_usage_dead_letters)",
        }),
        Panel("Orphans", "short", {
            "closed in an hour": "sum(increase(aldea_usage_orphans_closed_total[1h]))",
            "candidates": "max(aldea_usage_orphan_candidates)",
        }),
        Panel("Calls to SQS", "reqps", {
            "publisher": "sum(rate(aldea_usage_publisher_sqs_requests_total[5m]))",
            "worker": "sum(rate(aldea_usage_updater_sqs_requests_total[5m]))",
        }),
        Panel("Worker has stopped", "short", {"{{instance}}": "aldea_usage_halted"}),
    ),
    {},
)  # fmt: skip
CUSTOMER: Final = Dashboard(
    "aldea-customer", "Aldea: a customer",
    (
        Panel("Hours of audio by day", "h", {"hours": """
            select day::timestamptz as time, endpoint as metric, sum(audio_ms) / 3600000.0 as hours
            from usage_daily where @project and @days group by day, endpoint order by day"""}, sql=True),
        Panel("Requests by day", "short", {"requests": """
            select day::timestamptz as time, endpoint as metric, sum(requests) as requests
            from usage_daily where @project and @days group by day, endpoint order by day"""}, sql=True),
        Panel("First words of streams (p95), by day", "ms", {"p95": """
            select day::timestamptz as time,
                percentile_cont(0.95) within group (order by first_word_ms) as "first words"
            from usage_requests where @project and @days and first_word_ms is not null
            group by day order by day"""}, sql=True),
        Panel("How requests ended", "short", {"ended": """
            select status, close_code, count(*) as requests, sum(failovers) as failovers
            from usage_requests where @project and @days and rank > 0
            group by status, close_code order by requests desc"""}, sql=True, table=True,
            units={"status": "none", "close_code": "none"}),
        Panel("Slowest streams", "ms", {"slowest": """
            select to_timestamp(started_ms / 1000.0) as started, first_word_ms, audio_ms, close_code, lane,
                request_id::text
            from usage_requests where @project and @days and first_word_ms is not null
            order by first_word_ms desc limit 20"""}, sql=True, table=True, units={"close_code": "none"}),
        Panel("Charged by day", "currencyUSD", {"charged": """
            select day::timestamptz as time, sum(charge_micros) / 1e6 as charged
            from usage_daily where @project and @days group by day order by day"""}, sql=True),
    ),
    {"project": "select project_id::text as __value, name as __text from projects order by name limit 1000"},
)  # fmt: skip
MONEY: Final = Dashboard(
    "aldea-money", "Aldea: money",
    (
        Panel("Charged by day", "currencyUSD", {"charged": """
            select day::timestamptz as time, service as metric, sum(charge_micros) / 1e6 as charged
            from usage_daily where @days group by day, service order by day"""}, sql=True),
        Panel("Hours of audio by day", "h", {"hours": """
            select day::timestamptz as time, service as metric, sum(audio_ms) / 3600000.0 as hours
            from usage_daily where @days group by day, service order by day"""}, sql=True),
        Panel("Projects that pay most", "currencyUSD", {"projects": """
            select coalesce(projects.name, usage_daily.project_id::text) as project,
                sum(charge_micros) / 1e6 as charged, sum(audio_ms) / 3600000.0 as hours
            from usage_daily left join projects using (project_id) where @days
            group by 1 order by charged desc limit 20"""}, sql=True, table=True, units={"hours": "h"}),
        Panel("Billed audio, seconds a second", "short", {
            "live": "sum(rate(aldea_ws_audio_seconds_total[5m]))",
            "recorded": "sum(rate(aldea_http_audio_seconds_total[5m]))",
        }),
        Panel("Refused for money or quota", "reqps", {
            "{{reason}}": 'sum by (reason) (rate(aldea_admission_refusals_total{reason=~"balance|quota"}[5m]))',
            "ended: {{verdict}}": "sum by (verdict) (rate(aldea_renewals_refused_total[5m]))",
        }),
        Panel("Admitted without Redis, successes without a duration", "short", {
            "offline": "sum(increase(aldea_offline_admissions_total[1h]))",
            "unmetered": "sum(increase(aldea_http_unmetered_total[1h]))",
        }),
    ),
    {},
)  # fmt: skip
DASHBOARDS: Final = (PLATFORM, LANE, CUSTOMER, PIPELINE, MONEY)


def statement(query: str) -> str:
    """A panel's statement as Grafana gets it, with its macros and variables, in one line."""
    for written, meant in _WRITTEN.items():
        query = query.replace(written, meant)
    return " ".join(query.split())


def document(dashboard: Dashboard) -> str:
    """A dashboard as Grafana's JSON model."""
    return (
        json.dumps(
            {
                "uid": dashboard.uid,
                "title": dashboard.title,
                "tags": ["aldea"],
                "timezone": "utc",
                "schemaVersion": 39,
                "refresh": "30s",
                "time": {"from": "now-30d" if _all_sql(dashboard) else "now-3h", "to": "now"},
                "templating": {"list": [_variable(name, query) for name, query in dashboard.variables.items()]},
                "panels": [_panel(number, panel) for number, panel in enumerate(dashboard.panels)],
            },
            indent=1,
        )
        + "\n"
    )


def _all_sql(dashboard: Dashboard) -> bool:
    return any(panel.sql for panel in dashboard.panels)


def _variable(name: str, query: str) -> dict[str, Any]:
    sql = query.startswith("select")
    return {
        "name": name,
        "type": "query",
        "datasource": POSTGRES if sql else PROMETHEUS,
        "query": query if sql else {"query": query, "refId": "A"},
        "refresh": 2,
        "includeAll": not sql,
        "multi": False,
        **({} if sql else {"allValue": ".*", "current": {"text": "All", "value": "$__all"}}),
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    source = POSTGRES if panel.sql else PROMETHEUS
    return {
        "id": number + 1,
        "title": panel.title,
        "type": "table" if panel.table else "timeseries",
        "datasource": source,
        "gridPos": {"x": number % 2 * WIDTH, "y": number // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0},
            "overrides": [
                {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]}
                for name, unit in panel.units.items()
            ],
        },
        "targets": [
            _target(chr(ord("A") + place), legend, query, source, panel)
            for place, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _target(ref: str, legend: str, query: str, source: Mapping[str, str], panel: Panel) -> dict[str, Any]:
    if panel.sql:
        form = "table" if panel.table else "time_series"
        return {
            "refId": ref,
            "datasource": source,
            "rawQuery": True,
            "editorMode": "code",
            "rawSql": statement(query),
            "format": form,
        }
    return {"refId": ref, "datasource": source, "expr": query, "legendFormat": legend}
