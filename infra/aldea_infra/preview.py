"""What `pulumi up` would register for a stack, shown with no AWS account and no Pulumi CLI.

python -m aldea_infra.preview STACK            the resource tree with counts and key settings
python -m aldea_infra.preview STACK --json     every resource with its inputs and options
python -m aldea_infra.preview STACK --mermaid  the architecture as a Mermaid flowchart
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from aldea_infra import diagram
from aldea_infra.checks import reachability
from aldea_infra.config.parse import ConfigError
from aldea_infra.offline import mock_run
from aldea_infra.offline.graph import Graph, Registered

# What a reviewer wants to see change, by the type's last word: dotted paths into the inputs.
KEY_SETTINGS: Final[Mapping[str, Sequence[str]]] = {
    "Accelerator": ("name", "ipAddressType"),
    "Certificate": ("domainName", "subjectAlternativeNames"),
    "Cluster": ("name",),
    "Eip": ("domain",),
    "EndpointGroup": ("endpointGroupRegion",),
    "FlowLog": ("trafficType",),
    "Instance": (
        "identifier", "engine", "engineVersion", "instanceClass", "multiAz", "storageEncrypted", "publiclyAccessible",
        "backupRetentionPeriod", "deletionProtection", "skipFinalSnapshot",
    ),
    "Listener": ("port", "protocol", "sslPolicy"),
    "LoadBalancer": ("internal", "idleTimeout", "enableDeletionProtection"),
    "LogGroup": ("name", "retentionInDays"),
    "MetricAlarm": ("metricName", "comparisonOperator", "threshold", "datapointsToAlarm", "evaluationPeriods"),
    "OpenIdConnectProvider": ("url",),
    "Policy": ("targetTrackingScalingPolicyConfiguration.targetValue",),
    "Provider": ("region", "allowedAccountIds"),
    "Queue": ("name", "visibilityTimeoutSeconds", "messageRetentionSeconds", "sqsManagedSseEnabled"),
    "Record": ("name", "type"),
    "ReplicationGroup": (
        "replicationGroupId", "engineVersion", "nodeType", "numCacheClusters", "multiAzEnabled",
        "transitEncryptionEnabled", "atRestEncryptionEnabled",
    ),
    "Repository": ("name", "imageTagMutability"),
    "Role": ("path", "name"),
    "Secret": ("name", "recoveryWindowInDays"),
    "Service": ("desiredCount", "deploymentMinimumHealthyPercent", "availabilityZoneRebalancing"),
    "Target": ("minCapacity", "maxCapacity"),
    "TargetGroup": ("port", "healthCheck.path", "deregistrationDelay"),
    "TaskDefinition": ("cpu", "memory", "runtimePlatform.cpuArchitecture"),
    "Vpc": ("cidrBlock", "numberOfAvailabilityZones", "natGateways.strategy"),
    "WebAcl": ("scope",),
}  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Print the preview; the process's exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m aldea_infra.preview", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stack", help="the stack's name, such as prod or dev")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="every resource with its inputs and options")
    shape.add_argument("--mermaid", action="store_true", help="the architecture as a Mermaid flowchart")
    chosen = parser.parse_args(arguments)
    try:
        graph = mock_run.run(chosen.stack)
    except (ConfigError, FileNotFoundError, mock_run.Rejected) as error:
        sys.stderr.write(f"preview: {error}\n")
        return 1
    for warning in graph.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    shown = as_json(graph) if chosen.json else diagram.mermaid(graph) if chosen.mermaid else as_text(graph)
    sys.stdout.write(shown)
    return 0


def as_text(graph: Graph) -> str:
    """The tree, the routes, who talks to whom, and the containers: stable, so that a change shows as a diff."""
    counts = Counter(each.type for each in graph.resources if not each.is_component)
    lines = [f"stack {graph.stack}: {sum(counts.values())} resources, {_plural(graph)}", ""]
    roots = [each for each in graph.resources if each.parent.split("::")[2:3] == ["pulumi:pulumi:Stack"]]
    for root in sorted(roots, key=_order):
        lines += _tree(graph, root, 0)
    lines += ["", "listener rules"]
    for route in reachability.routes(graph):
        targets = ", ".join(f"{service} {weight}" for service, weight in route.weights.items())
        lines.append(f"  {route.priority:>3}  {' and '.join(route.conditions)}  →  {targets}")
    lines += ["", "who talks to whom"]
    lines += [f"  {each.source} → {each.target}:{each.port}" for each in reachability.matrix(graph)]
    lines += ["", "containers"]
    lines += _containers(graph)
    lines += ["", "by type", *(f"  {count:>3}  {kind}" for kind, count in sorted(counts.items()))]
    return "\n".join(lines) + "\n"


def as_json(graph: Graph) -> str:
    """All of it; a value that is secret is not shown."""
    shown = [
        {
            **asdict(each),
            "inputs": {key: "«secret»" if key in each.secret_inputs else value for key, value in each.inputs.items()},
            "secret_inputs": sorted(each.secret_inputs),
            "outputs": None,
        }
        for each in graph.resources
    ]
    return json.dumps({"stack": graph.stack, "resources": shown}, indent=2, ensure_ascii=False) + "\n"


def _plural(graph: Graph) -> str:
    return f"{sum(each.is_component for each in graph.resources)} components"


def _order(each: Registered) -> tuple[bool, str, str]:
    return (not each.is_component, each.name, each.type)


def _tree(graph: Graph, each: Registered, depth: int) -> list[str]:
    kind = each.type.rpartition(":")[2]
    words = ["  " * depth + each.name, f"({kind})", *_settings(each, kind)]
    if each.protect:
        words.append("protected")
    if each.import_id:
        words.append(f"adopts {each.import_id}")
    lines = [" ".join(words)]
    for child in sorted(graph.children(each.urn), key=_order):
        lines += _tree(graph, child, depth + 1)
    return lines


def _settings(each: Registered, kind: str) -> Iterator[str]:
    for path in KEY_SETTINGS.get(kind, ()):
        value: Any = each.inputs
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            yield f"{path.rpartition('.')[2]}={_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _containers(graph: Graph) -> Iterator[str]:
    for task, container in sorted(graph.containers(), key=lambda pair: (pair[0].name, pair[1]["name"])):
        yield f"  {task.name}/{container['name']}: {container['image'].rpartition('/')[2].partition('@')[0]} by digest"
        if "command" in container:
            yield f"    runs {' '.join(container['command'])}"
        for name, value in sorted(reachability.environment(container).items()):
            yield f"    {name}={value}"
        for name, source in sorted(reachability.secrets(container).items()):
            yield f"    {name} from {':'.join(source.split(':')[6:8])}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
