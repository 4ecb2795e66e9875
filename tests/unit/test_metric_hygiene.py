"""Metrics: base units in their names, one name for one thing, labels whose values nobody can multiply."""

import random
import re

from prometheus_client import REGISTRY

from aldea.ids import new_request_id
from tests.unit.onebox.observe.test_metric_names import series
from tests.unit.ws_proxy.test_session import session_of
from ws_proxy.websocket.relay import Relay
from ws_proxy.websocket.terms import Ending, Limits

# Each label's values are a list in the code, or as many as the stack has servers; a customer adds none.
BOUNDED = {
    "lane", "server", "status", "code", "side", "initiator", "cause", "reason", "kind", "service", "outcome", "why",
    "verdict", "le",
}  # fmt: skip
PROJECTS = 1000


def ours() -> list[tuple[str, str]]:
    series()
    return [(family.name, family.type) for family in REGISTRY.collect() if family.name.startswith("aldea_")]


def test_times_are_in_seconds_and_sizes_in_bytes_and_the_names_say_so() -> None:
    for name, kind in ours():
        assert not re.search(r"_(ms|millis|milliseconds|minutes|hours|kb|mb|kilobytes|percent)(_|$)", name)
        if kind == "histogram":
            assert name.endswith(("_seconds", "_bytes")), f"{name}: of what unit?"


def test_one_thing_has_one_name() -> None:
    synonyms = re.compile(r"_(length|entries|size|depth|count|number)$")
    seen: dict[str, str] = {}
    for name, _ in ours():
        plain = synonyms.sub("", name)
        assert seen.setdefault(plain, name) == name, f"{name} and {seen[plain]} are one thing"


def test_no_label_takes_a_customers_values() -> None:
    for name, labels in series().items():
        if name.startswith("aldea_"):
            assert labels <= BOUNDED, f"{name}: {sorted(labels - BOUNDED)}"


async def test_a_thousand_projects_with_any_close_codes_add_no_series() -> None:
    def count() -> int:
        return sum(len(family.samples) for family in REGISTRY.collect())

    async def end(code: int) -> None:
        session = session_of(Relay(Limits()))
        session.grant.project_id = new_request_id()
        session.checkpoint()
        session.final(Ending("client", "", code, 1006))

    for code in (*range(1000, 1015), 3000, 4000):
        await end(code)
    before = count()
    for _ in range(PROJECTS):
        await end(random.choice((random.randint(1000, 1014), random.randint(3000, 4999))))
    assert count() == before
