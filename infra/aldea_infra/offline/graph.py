"""What a run of the program registered: resources with their inputs, options and references. No pulumi."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# In the place where a value is known only after the deployment (in a run shaped like a preview).
UNKNOWN = "«unknown»"


@dataclass(frozen=True, slots=True)
class Registered:
    """One registered resource. `inputs` are plain: whole numbers are ints, secrets are unwrapped and named apart."""

    urn: str
    type: str
    name: str
    parent: str
    inputs: Mapping[str, Any]
    secret_inputs: frozenset[str]  # top-level properties that hold a secret anywhere inside
    outputs: Mapping[str, Any]
    id: str
    depends_on: tuple[str, ...] = ()  # URNs, explicit and implied by inputs
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # the URNs that each input is made of
    protect: bool = False
    import_id: str = ""
    ignore_changes: tuple[str, ...] = ()
    delete_before_replace: bool = False
    retain_on_delete: bool = False
    timeouts: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_component(self) -> bool:
        """Whether it is a component of ours, which exists in the state only."""
        return self.type.startswith("aldea:")

    def json(self, key: str) -> Any:
        """An input that is a JSON document, read."""
        return json.loads(self.inputs[key])


@dataclass(frozen=True, slots=True)
class Graph:
    """One run: every resource by rising URN, the stack's outputs, and what it warned of."""

    stack: str
    resources: Sequence[Registered]
    outputs: Mapping[str, Any]
    warnings: Sequence[str]

    def of(self, type_: str) -> list[Registered]:
        """The resources of a type, such as `aws:ecs/service:Service`; its tail after the last colon will do."""
        return [each for each in self.resources if type_ in (each.type, each.type.rpartition(":")[2])]

    def one(self, type_: str, name: str | None = None) -> Registered:
        """The only resource of a type (and name). Raises LookupError otherwise."""
        found = [each for each in self.of(type_) if name in (None, each.name)]
        if len(found) != 1:
            raise LookupError(f"got {len(found)} of {type_} {name or ''}; expected one")
        return found[0]

    def by_output(self, key: str, value: Any) -> Registered:
        """The resource whose output `key` (or whose id) is `value`. Raises LookupError."""
        for each in self.resources:
            if (each.id if key == "id" else each.outputs.get(key)) == value:
                return each
        raise LookupError(f"no resource has {key} {value!r}")

    def children(self, urn: str) -> list[Registered]:
        """What was registered with this parent."""
        return [each for each in self.resources if each.parent == urn]

    def containers(self) -> Iterator[tuple[Registered, dict[str, Any]]]:
        """Every container with its task definition."""
        for task in self.of("TaskDefinition"):
            for container in task.json("containerDefinitions"):
                yield task, container

    def policies(self) -> Iterator[tuple[Registered, dict[str, Any]]]:
        """Every statement of every IAM and resource policy with the resource that holds it."""
        for each in self.resources:
            for key in ("policy", "assumeRolePolicy"):
                if key in each.inputs and "Statement" in str(each.inputs[key]):
                    for statement in each.json(key)["Statement"]:
                        yield each, statement
