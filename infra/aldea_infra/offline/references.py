"""Puts references between resources in the place of the made-up values that a run without AWS gave to their outputs.

With the values alone the provider judges each resource for itself; with references it also makes them in their order,
and a plan shows what follows from the replacement of another.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from aldea_infra.offline.graph import Graph, Registered

# Shorter values, such as the numbers of ports, are equal by chance.
SHORTEST: Final = 5
Expressions = dict[str, str]


class References:
    """What a resource's inputs are made of, as Terraform's expressions by made-up value."""

    def __init__(
        self, graph: Graph, addresses: Mapping[str, str], schemas: Mapping[str, Any], known: Mapping[str, str]
    ) -> None:
        """`addresses`: Terraform's by URN (`aws_lb.alb`). `known`: values that no resource of the provider returned."""
        self._graph, self._addresses, self._schemas = graph, addresses, schemas
        self._known = dict(known)
        self._of_urn: dict[str, Expressions] = {}

    def behind(self, resource: Registered, key: str) -> Expressions:
        """What the input `key` is made of."""
        found = dict(self._known)
        for urn in resource.sources.get(key, ()):
            for each in self._itself_or_inside(urn):
                found |= self._of(each)
        return found

    def before(self, resource: Registered) -> list[str]:
        """The addresses of what must exist before `resource` is made."""
        found = {each.urn for urn in resource.depends_on for each in self._itself_or_inside(urn)}
        return sorted(self._addresses[urn] for urn in found if urn in self._addresses)

    def _itself_or_inside(self, urn: str) -> Iterator[Registered]:
        for each in self._graph.resources:
            if each.urn == urn:
                yield each
            elif each.parent == urn:
                yield from self._itself_or_inside(each.urn)

    def _of(self, resource: Registered) -> Expressions:
        if resource.urn not in self._addresses:
            return {}
        if resource.urn not in self._of_urn:
            address = self._addresses[resource.urn]
            attributes = self._schemas[address.partition(".")[0]]["block"].get("attributes", {})
            found = {resource.id: f"{address}.id"} if resource.id else {}
            for key, value in resource.outputs.items():
                name = next((each for each in (snake(key), snake(key).removesuffix("s")) if each in attributes), None)
                # An input comes back as it was given: that is the same text in both places.
                if name is not None and resource.inputs.get(key) != value:
                    found |= dict(_leaves(f"{address}.{name}", value))
            self._of_urn[resource.urn] = found
        return self._of_urn[resource.urn]


def _leaves(expression: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and len(value) >= SHORTEST:
        yield value, expression
    elif isinstance(value, list):
        for each in value:
            # Sets have no order: a certificate's proofs are found by their domain.
            chosen = (
                f'one([for each in {expression} : each if each.domain_name == "{each["domainName"]}"])'
                if "domainName" in each
                else f"tolist({expression})[0]"
            )
            for key, inner in each.items():
                yield from _leaves(f"{chosen}.{snake(key)}", inner)


def referring(known: Expressions) -> Callable[[str], str]:
    """A function that escapes a text of the graph for Terraform, and puts what is known into it as templates."""
    if not known:
        return escaped
    longest_first = "|".join(re.escape(each) for each in sorted(known, key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w-])(?:{longest_first})(?![\w-])")

    def put(text: str) -> str:
        parts, at = [], 0
        for match in pattern.finditer(text):
            parts += [escaped(text[at : match.start()]), "${", known[match.group()], "}"]
            at = match.end()
        return "".join([*parts, escaped(text[at:])])

    return put


def escaped(text: str) -> str:
    """Text in which Terraform finds no template."""
    return text.replace("${", "$${").replace("%{", "%%{")


def snake(name: str) -> str:
    """Terraform's form of a name in camel case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
