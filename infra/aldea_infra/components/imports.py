"""Options that every component shares: parentage, and importing what an `adopt:` entry names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi


@dataclass(slots=True)
class Adoption:
    """Which existing cloud resources this stack takes over: logical name → cloud id.

    `docs/deploy.md` lists the names that can be adopted; `unused` finds a misspelt one.
    """

    ids: Mapping[str, str]
    _requested: set[str] = field(default_factory=set)

    def options(
        self,
        parent: pulumi.Resource,
        name: str,
        *,
        protect: bool = False,
        depends_on: Sequence[pulumi.Resource] = (),
        ignore_changes: Sequence[str] = (),
        retain_on_delete: bool = False,
    ) -> pulumi.ResourceOptions:
        """Options of the resource `name` below `parent`, imported where `adopt:` says so."""
        self._requested.add(name)
        return pulumi.ResourceOptions(
            parent=parent,
            protect=protect,
            depends_on=list(depends_on),
            ignore_changes=list(ignore_changes),
            retain_on_delete=retain_on_delete,
            import_=self.ids.get(name),
        )

    def unused(self) -> list[str]:
        """Entries that no resource requested."""
        return sorted(set(self.ids) - self._requested)

    def requested(self) -> list[str]:
        """The names that can be adopted in this stack."""
        return sorted(self._requested)
