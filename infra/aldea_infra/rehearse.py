"""Puts what a stack registers before AWS's own provider, without an account.

python -m aldea_infra.rehearse STACK [--required]

The checks of `aldea_infra.checks`, `terraform validate` and `plan` with made-up values, then `apply` on the emulator
that the onebox uses, then a plan of each change of docs/deploy.md, whose effects are compared with the expected ones.

Takes `terraform` on PATH and AWS's provider: from the registry, or from the folder that TF_PLUGIN_DIR names. Without
them it says so and ends well, unless it is `--required`. No request leaves this machine but for the provider.
"""

import argparse
import copy
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from aldea_infra.checks import run as checks
from aldea_infra.config import stack_file
from aldea_infra.config.parse import Secret, StackConfig
from aldea_infra.offline import mock_run, terraform
from aldea_infra.offline.graph import Graph
from aldea_infra.rehearsal import calls
from aldea_infra.rehearsal.changes import AT_FIRST, Change, changes
from aldea_infra.rehearsal.effects import condensed, effects, repeated, unexpected
from aldea_infra.rehearsal.emulator import emulator
from aldea_infra.rehearsal.engine import Missing, Refused, Terraform
from aldea_infra.rehearsal.stand_ins import leave_alone, stand_ins

# What providers before 6 do not have: a note, no fault.
NEWER: Final = frozenset({"aws:ecs/service:Service: the provider has no sigintRollback"})
Say = Callable[[str], None]


def planned(graph: Graph, folder: Path) -> list[str]:
    """What the provider plans for a stack's graph, and notes. Raises Missing or Refused."""
    engine = Terraform(folder)
    found = terraform.convert(graph, engine.prepare())
    engine.configure(found.document(terraform.offline_provider(graph.one("pulumi:providers:aws").inputs["region"])))
    notes = _notes(found)
    engine.validate()
    made = [effect for effect in repeated(engine.plan()) if effect.action == "create"]
    return [f"valid; {len(made)} resources planned with made-up values", *notes]


def _notes(found: terraform.Converted) -> list[str]:
    """What an older provider does not have. Raises Refused with what no provider has."""
    if lost := sorted(set(found.unmapped) - NEWER):
        raise Refused("\n".join(lost))
    return [f"note: {each} (it is older than 6)" for each in sorted(set(found.unmapped) & NEWER)]


class Rehearsal:
    """A stack that was applied on the emulator at `url`, and is changed."""

    def __init__(self, stack: str, folder: Path, url: str, values: Mapping[str, Any] | None = None) -> None:
        self._stack = stack
        self._values = values if values is not None else stack_file.read(stack)
        self.config = StackConfig.model_validate(self._values)
        self._engine = Terraform(folder, {"AWS_ENDPOINT_URL": url})
        self._schemas = self._engine.prepare()

    def apply(self) -> int:
        """Make everything on the emulator; how many resources. Raises Refused, also if the deploy role may not."""
        document = self._configure(self._values, AT_FIRST)
        with self._engine.logged() as log:
            self._engine.apply()
        self._permit("ci-deploy", calls.called(log) - calls.BY_OTHERS)
        return sum(len(each) for each in document["resource"].values())

    def refresh(self) -> int:
        """Look for drift; by how many kinds of calls. Raises Refused, also if the preview role may not make them."""
        with self._engine.logged() as log:
            self._engine.refresh()
        made = calls.called(log) - calls.NOT_LOOKED_AT
        self._permit("ci-preview", made)
        return len(made)

    def _permit(self, role: str, made: set[str]) -> None:
        policy = mock_run.run(self._stack, values=self._values).one("aws:iam/rolePolicy:RolePolicy", role)
        if lacking := list(calls.refused(made, policy.json("policy")["Statement"])):
            raise Refused(f"{role} may not call {', '.join(lacking)}")

    def plan(self, change: Change) -> dict[str, Any]:
        """What the provider would do for this change. Raises Refused."""
        values = copy.deepcopy(dict(self._values))
        change.edit(values)
        self._configure(values, {**AT_FIRST, **change.secrets})
        return self._engine.plan()

    def _configure(self, values: Mapping[str, Any], secrets: Mapping[Secret, str]) -> dict[str, Any]:
        graph = mock_run.run(self._stack, values=values, secrets=secrets)
        around = stand_ins(graph, self.config)
        found = terraform.convert(graph, self._schemas, around.known)
        _notes(found)
        for type_, made in around.resources.items():
            found.resources.setdefault(type_, {}).update(made)
        leave_alone(found.resources)
        document = found.document(terraform.emulated_provider(graph))
        self._engine.configure(document)
        return document


def rehearse(stack: str, folder: Path, say: Say) -> None:
    """Everything, step by step. Raises Missing or Refused."""
    graph = mock_run.run(stack)
    if faults := checks.run(graph):
        raise Refused("\n".join(faults))
    for line in planned(graph, _made(folder / "plan")):
        say(line)
    with emulator(folder / "emulator.log") as url:
        rehearsal = Rehearsal(stack, _made(folder / "apply"), url)
        say(f"{rehearsal.apply()} resources applied on the emulator, by calls that the deploy role may make")
        say(f"read again by {rehearsal.refresh()} kinds of calls, which the preview role may make")
        _change(rehearsal, say)


def _change(rehearsal: Rehearsal, say: Say) -> None:
    """Plan every change in turn and compare; all faults are raised together."""
    nothing, *wanted = changes(rehearsal.config)
    unchanged = rehearsal.plan(nothing)
    again = repeated(unchanged)
    if lost := [effect for effect in again if effect.action != "update"]:
        raise Refused("an unchanged program would\n" + "\n".join(condensed(lost)))
    say(f"unchanged: nothing is made, replaced or deleted ({len(again)} that the emulator returns in part)")
    faults = []
    for change in wanted:
        found = effects(rehearsal.plan(change), unchanged)
        say(change.title)
        for line in condensed(found):
            say(f"    {line}")
        faults += [f"{change.title}: {fault}" for fault in unexpected(found, change.expected)]
    if faults:
        raise Refused("\n".join(faults))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def main(arguments: Sequence[str]) -> int:
    """Rehearse; the process's exit status: 1 if the provider refuses, 0 also where there is none, unless --required."""
    parser = argparse.ArgumentParser(prog="python -m aldea_infra.rehearse", description=__doc__.partition("\n")[0])
    parser.add_argument("stack", help="the stack's name, such as prod or dev")
    parser.add_argument("--required", action="store_true", help="fail where terraform or its provider is missing")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        try:
            rehearse(chosen.stack, Path(folder), lambda line: _say(f"{chosen.stack}: {line}"))
        except Missing as error:
            _say(f"{chosen.stack}: not rehearsed: {error}")
            return int(chosen.required)
        except Refused as error:
            _say(f"{chosen.stack}: refused:\n{error}")
            return 1
        except (OSError, ValueError) as error:
            parser.error(str(error))
    return 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command's output


if __name__ == "__main__":
    # Ended by a signal it ends the emulator and terraform too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main(sys.argv[1:]))
