"""AWS's rules on several parameters together, which its API references state in prose only: a table with sources.

A parameter's own range is `aws_ranges`; what a document's shape may be is `documents`. A rule looks at one resource of
its type (and what it refers to) and says what AWS would refuse. Add a resource type to the program, and read its API
reference for more.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aldea_infra.offline.graph import Graph, Registered

Rule = Callable[[Graph, Registered], Iterator[str]]
Inputs = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prose:
    """One rule: whose it is, where AWS states it, and what finds a breach."""

    kind: str
    source: str
    rule: Rule


RULES: Final[list[Prose]] = []
# The kind of a rule for every resource.
EVERY: Final = "*"


def states(kind: str, source: str) -> Callable[[Rule], Rule]:
    """Enter a rule of a resource type into the table, with the page that states it."""

    def enter(rule: Rule) -> Rule:
        RULES.append(Prose(kind, source, rule))
        return rule

    return enter


def each_of(graph: Graph) -> Iterator[str]:
    """Every breach, with the source of its rule."""
    for prose in RULES:
        for resource in graph.resources if prose.kind == EVERY else graph.of(prose.kind):
            for fault in prose.rule(graph, resource):
                yield f"{resource.name}: {fault} ({prose.source})"


def together(inputs: Inputs, *names: str) -> bool:
    """Whether more than one of these is given."""
    return sum(bool(inputs.get(name)) for name in names) > 1


def is_name(value: str, most: int) -> bool:
    """Letters, digits and single hyphens, the first a letter, the last none, as RDS and ElastiCache have it."""
    return len(value) <= most and bool(re.fullmatch(r"[A-Za-z](-?[A-Za-z0-9])*", value))
