"""The alarms on error budgets: of every objective at every burn rate, by the services that have its events."""

from aldea.objectives import BURNS, OBJECTIVES
from aldea_infra.components import metric_names
from aldea_infra.components.objectives import MOST_SERVICES, budgets
from aldea_infra.offline.graph import Graph


def test_every_objective_has_an_alarm_for_every_burn_rate(prod: Graph) -> None:
    assert len(budgets()) == len(OBJECTIVES) * len(BURNS)
    found = {each.name for each in prod.of("MetricAlarm") if each.name.startswith("budget-")}
    assert found == {budget.name for budget in budgets()}
    assert {f"{objective.counted}_{kind}_total" for objective in OBJECTIVES for kind in ("events", "bad")} == set(
        metric_names.OBJECTIVES
    )


def test_a_share_is_of_all_lanes_and_above_what_the_budget_bears(prod: Graph) -> None:
    (alarm,) = [each for each in prod.of("MetricAlarm") if each.name == "budget-handshakes-fast"]
    queries = alarm.inputs["metricQueries"]
    read = [query["metric"] for query in queries if query.get("metric")]
    assert len(read) == 2 * 2 <= 2 * MOST_SERVICES  # two lanes
    assert {metric["stat"] for metric in read} == {"Sum"}
    assert {metric["period"] for metric in read} == {300}
    (formula,) = [query["expression"] for query in queries if query.get("expression")]
    assert formula == (
        "IF((FILL(events0,0)+FILL(events1,0))>=20,"
        "(FILL(bad0,0)+FILL(bad1,0))/(FILL(events0,0)+FILL(events1,0)),0)"
    )  # fmt: skip
    assert alarm.inputs["threshold"] == 0.0144
