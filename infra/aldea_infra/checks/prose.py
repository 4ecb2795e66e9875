"""The check of AWS's rules in prose: every table of them, loaded in one place."""

from collections.abc import Iterator
from typing import Final

from aldea_infra.checks import prose_ecs, prose_edge, prose_quotas, prose_rules, prose_stores
from aldea_infra.offline.graph import Graph

TABLES: Final = (prose_ecs, prose_stores, prose_edge, prose_quotas)


def awss_prose_is_kept(graph: Graph) -> Iterator[str]:
    """What its API references say of several parameters together, AWS checks only when it is called."""
    yield from prose_rules.each_of(graph)


CHECKS: Final = (awss_prose_is_kept,)
