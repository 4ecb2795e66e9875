"""What a plan does beyond another: the effects of one change, whatever the emulator forgot of what it was given."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby
from typing import Any, Final

ACTIONS: Final = {
    ("no-op",): "",
    ("create",): "create",
    ("update",): "update",
    ("delete",): "delete",
    ("create", "delete"): "replace",
    ("delete", "create"): "replace",
}


@dataclass(frozen=True, slots=True, order=True)
class Effect:
    """What happens to one resource. `address`: Terraform's without the provider's prefix: `ecs_service.canary`."""

    action: str
    address: str


def effects(plan: Mapping[str, Any], unchanged: Mapping[str, Any]) -> list[Effect]:
    """What `plan` does that the plan of the `unchanged` program does not, sorted.

    Compared is how each resource would be afterwards: an emulator that returns less than it was given makes both
    plans repeat it.
    """
    before = {each["address"]: each for each in unchanged["resource_changes"]}
    found = []
    for each in plan["resource_changes"]:
        action = ACTIONS[tuple(each["change"]["actions"])]
        known = before.get(each["address"])
        if known is not None and _end(known) == _end(each):
            continue
        address = each["address"].removeprefix("aws_")
        found.append(Effect(action or "update", address))
    return sorted(found)


def _end(change: Mapping[str, Any]) -> tuple[Any, ...]:
    inner = change["change"]
    replaced = len(inner["actions"]) > 1
    # What the provider will know only afterwards is equal in both: unknown.
    return replaced, inner["after"], inner.get("after_unknown") if replaced else None


def repeated(unchanged: Mapping[str, Any]) -> list[Effect]:
    """What the plan of an unchanged program does all the same."""
    return sorted(
        Effect(action, each["address"].removeprefix("aws_"))
        for each in unchanged["resource_changes"]
        if (action := ACTIONS[tuple(each["change"]["actions"])])
    )


def unexpected(found: list[Effect], expected: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Each effect that no pattern allows, and each pattern that nothing fits."""
    for effect in found:
        if not any(fnmatchcase(effect.address, pattern) for pattern in expected.get(effect.action, ())):
            yield f"{effect.action} {effect.address} is not expected"
    for action, patterns in expected.items():
        for pattern in patterns:
            if not any(each.action == action and fnmatchcase(each.address, pattern) for each in found):
                yield f"{action} {pattern} is expected and not planned"


def condensed(found: list[Effect]) -> list[str]:
    """A line for each action: its resources by type."""
    lines = []
    for action, group in groupby(found, lambda each: each.action):
        by_type: dict[str, list[str]] = {}
        for each in group:
            type_, _, label = each.address.partition(".")
            by_type.setdefault(type_, []).append(label)
        said = [f"{type_} {_labels(labels)}" for type_, labels in by_type.items()]
        lines.append(f"{action}: {'; '.join(said)}")
    return lines or ["nothing"]


def _labels(labels: list[str]) -> str:
    most = 4
    return ", ".join(labels) if len(labels) <= most else f"({len(labels)})"
