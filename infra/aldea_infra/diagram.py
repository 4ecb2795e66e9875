"""The architecture of a stack as a Mermaid flowchart, drawn from what the program registers."""

from collections.abc import Iterator

from aldea_infra.checks import reachability
from aldea_infra.offline.graph import Graph


def mermaid(graph: Graph) -> str:
    """A Mermaid flowchart: the edge, the services behind each listener rule, the stores, the STT servers."""
    return "\n".join(["flowchart LR", *(f"  {line}" for line in _lines(graph))]) + "\n"


def _lines(graph: Graph) -> Iterator[str]:
    yield 'clients(["clients"])'
    yield from _edge(graph)
    yield from _services(graph)
    yield from _stores(graph)
    yield from _speech(graph)


def _edge(graph: Graph) -> Iterator[str]:
    names = " / ".join(sorted(each.inputs["name"] for each in graph.of("Record") if each.inputs["type"] == "A"))
    if graph.of("Accelerator"):
        yield 'accelerator["Global Accelerator"]'
        yield f'clients -- "{names}" --> accelerator --> balancer'
    else:
        yield f'clients -- "{names}" --> balancer'
    internal = graph.one("LoadBalancer").inputs["internal"]
    wall = "WAF + " if graph.of("WebAclAssociation") else ""
    yield f'balancer["{wall}{"private" if internal else "public"} load balancer"]'


def _services(graph: Graph) -> Iterator[str]:
    yield 'subgraph cluster ["ECS Fargate"]'
    for service in graph.of("aws:ecs/service:Service"):
        yield f"  {service.name}"
    yield "end"
    behind: dict[str, list[int]] = {}
    for route in reachability.routes(graph):
        for name in route.weights:
            behind.setdefault(name, []).append(route.priority)
    for name, priorities in behind.items():
        rules = ", ".join(map(str, priorities))
        yield f'balancer -- "rule{"s" if len(priorities) > 1 else ""} {rules}" --> {name}'


def _stores(graph: Graph) -> Iterator[str]:
    redis, database = graph.one("ReplicationGroup"), graph.one("aws:rds/instance:Instance")
    yield f'redis[("Redis {redis.inputs["engineVersion"]}<br/>{redis.inputs["replicationGroupId"]}")]'
    yield f'database[("PostgreSQL {database.inputs["engineVersion"]}<br/>{database.inputs["identifier"]}")]'
    permitted = {(each.source, each.target) for each in reachability.matrix(graph)}
    services = {each.name: reachability.role_of(graph, each.name) for each in graph.of("aws:ecs/service:Service")}
    for service, role in services.items():
        for store in ("redis", "database"):
            if (role, store) in permitted:
                yield f"{service} --> {store}"
        for other, target in services.items():
            if (role, target) in permitted:
                yield f"{service} -- Service Connect --> {other}"
    yield from _queue(graph)


def _queue(graph: Graph) -> Iterator[str]:
    """Who sends to and who receives from the usage queue, by permission."""
    queue = graph.one("aws:sqs/queue:Queue", "usage-queue")
    yield f'queue[["SQS {queue.inputs["name"]}"]]'
    for holder, statement in graph.policies():
        service = holder.name.removesuffix("-task")
        if holder.name.endswith("-task") and queue.outputs["arn"] in statement.get("Resource", []):
            if "sqs:ReceiveMessage" in statement["Action"]:  # it may send too: dead letters, once more
                yield f"queue --> {service}"
            elif "sqs:SendMessage" in statement["Action"]:
                yield f"{service} --> queue"


def _speech(graph: Graph) -> Iterator[str]:
    """Each proxy's own STT server, and by dotted lines those that it falls back to."""
    seen: dict[str, str] = {}
    for service in graph.of("aws:ecs/service:Service"):
        upstreams = reachability.environment(reachability.main_container(graph, service.name)).get("STT_UPSTREAMS", "")
        for index, server in enumerate(filter(None, upstreams.split(","))):
            if server not in seen:
                seen[server] = f"stt{len(seen) + 1}"
                yield f'{seen[server]}{{{{"STT server<br/>{server.partition("://")[2]}"}}}}'
            yield f"{service.name} {'-->' if index == 0 else '-.->'} {seen[server]}"
