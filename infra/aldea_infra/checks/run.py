"""Checks over the registered graph: what must never be deployed, and what AWS would refuse only at the deployment.

Each check is a generator of faults; its docstring is its reason. They are in `security`, `isolation`, `limits`,
`alarms`, `services`, `documents` and `prose`; `account` compares two stacks; `run` names the faults by check.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from aldea_infra.checks import alarms, documents, isolation, limits, prose, reachability, security, services
from aldea_infra.offline.graph import Graph, Registered


@dataclass(frozen=True, slots=True)
class Contract:
    """What an image's program reads from its environment, and what its settings' classes say of it."""

    variables: frozenset[str]
    required: frozenset[str]
    secret: frozenset[str]


Contracts = Mapping[str, Contract]  # by container: the role, or "migrate"
Check = Callable[[Graph], Iterator[str]]

CHECKS: Final[tuple[Check, ...]] = (
    *security.CHECKS,
    *isolation.CHECKS,
    *limits.CHECKS,
    *alarms.CHECKS,
    *services.CHECKS,
    *documents.CHECKS,
    *prose.CHECKS,
)
# Set by the program or by ECS for every container; no settings class needs to know them.
ALWAYS_ALLOWED: Final = frozenset({"SECRET_VERSIONS", "PGPASSWORD"})


def run(graph: Graph, contracts: Contracts | None = None) -> list[str]:
    """Every fault as `check: what`; empty for a graph that may be deployed."""
    faults = [f"{each.__name__}: {fault}" for each in CHECKS for fault in each(graph)]
    if contracts is not None:
        faults += [f"environment_is_the_services_own: {fault}" for fault in _environments(graph, contracts)]
    return faults


def _environments(graph: Graph, contracts: Contracts) -> Iterator[str]:
    """A renamed setting fails here, not as a task that does not start."""
    for task, container in graph.containers():
        role = "migrate" if container["name"] == "migrate" else _role(graph, task)
        contract = contracts[role]
        plain, secret = set(reachability.environment(container)), set(reachability.secrets(container))
        where = f"{task.name}/{container['name']}"
        for name in sorted((plain | secret) - contract.variables - ALWAYS_ALLOWED):
            yield f"{where} is given {name}, which its program does not read"
        for name in sorted(contract.required - plain - secret):
            yield f"{where} lacks {name}, without which its program does not start"
        for name in sorted(contract.secret & plain):
            yield f"{where} is given the secret {name} in plain"


def _role(graph: Graph, task: Registered) -> str:
    return reachability.role_of(graph, task.name)
