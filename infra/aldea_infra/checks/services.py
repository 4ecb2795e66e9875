"""Checks of what ECS makes of a service and its task definition together: Service Connect, containers, deployments."""

from collections.abc import Iterator
from typing import Any, Final

from aldea_infra.catalogue import Role
from aldea_infra.checks import reachability
from aldea_infra.config import mail
from aldea_infra.offline.graph import Graph

# Protocols that Service Connect's proxy reads requests of; without one a port is plain TCP to it.
SCRATCH: Final = "/tmp"  # noqa: S108 - the task's own volume
REQUEST_PROTOCOLS: Final = frozenset({"http", "http2", "grpc"})


def service_connect_is_accepted(graph: Graph) -> Iterator[str]:
    """ECS refuses a request timeout on a TCP port, and a name that no port mapping has (ECS API reference)."""
    for service, offered in _offered(graph):
        mappings = {each["name"]: each for each in reachability.main_container(graph, service).get("portMappings", [])}
        mapping = mappings.get(offered["portName"])
        if mapping is None:
            yield f"{service} offers the port {offered['portName']}, which no port mapping is named"
            continue
        timed = offered.get("timeout", {}).get("perRequestTimeoutSeconds") is not None
        if timed and mapping.get("appProtocol") not in REQUEST_PROTOCOLS:
            yield f"{service} has a timeout per request on a port without an appProtocol: ECS takes it for TCP"


def service_connect_reaches_its_port(graph: Graph) -> Iterator[str]:
    """The proxy before the load balancer's connections could add a hop to X-Forwarded-For, and closes them early."""
    open_ports = {
        (each.target, each.port) for each in reachability.matrix(graph) if each.source not in {"balancer", "clients"}
    }
    for service, offered in _offered(graph):
        container = reachability.main_container(graph, service)
        ports = {each["containerPort"] for each in container.get("portMappings", [])}
        listens = offered.get("ingressPortOverride")
        if graph.one("aws:ecs/service:Service", service).inputs.get("loadBalancers") and listens in {None, *ports}:
            yield f"{service}: the load balancer reaches its container through Service Connect's proxy"
        if (reachability.role_of(graph, service), listens or min(ports)) not in open_ports:
            yield f"{service}: no security group lets callers reach Service Connect's proxy"
        if "healthCheck" not in container:
            yield f"{service}: Service Connect sends calls to a task that does not serve yet: it has no health check"


def containers_are_locked_down(graph: Graph) -> Iterator[str]:
    """Fargate gives a container capabilities that no service needs, no init, and no scratch space beside its root."""
    for task, container in graph.containers():
        where, linux = f"{task.name}/{container['name']}", container.get("linuxParameters", {})
        if linux.get("capabilities", {}).get("drop") != ["ALL"]:
            yield f"{where} keeps Linux capabilities"
        if not linux.get("initProcessEnabled"):
            yield f"{where} has no init: its image brings none"
        if "tmpfs" in linux:
            yield f"{where} wants a tmpfs, which Fargate refuses"
        volumes = {each["name"] for each in task.inputs.get("volumes", [])}
        mounts = {each["containerPath"]: each["sourceVolume"] for each in container.get("mountPoints", [])}
        if mounts.get(SCRATCH) not in volumes:
            yield f"{where} cannot write to {SCRATCH}"


def deployments_can_be_changed_and_cut_off(graph: Graph) -> Iterator[str]:
    """ECS takes another capacity provider with a new deployment only; an interrupted update must not stay half done."""
    for service in graph.of("aws:ecs/service:Service"):
        if service.inputs.get("capacityProviderStrategies") and not service.inputs.get("forceNewDeployment"):
            yield f"{service.name} cannot change its capacity providers"
        if not (service.inputs.get("waitForSteadyState") and service.inputs.get("sigintRollback")):
            yield f"{service.name} stays half deployed when its update is interrupted"


def no_service_migrates(graph: Graph) -> Iterator[str]:
    """A task that migrates before it serves cannot start without PostgreSQL, and holds the master password."""
    services = {service.name for service in graph.of("aws:ecs/service:Service")}
    for task, container in graph.containers():
        migrates = "migrate" in container.get("command", [])
        if task.name in services and (migrates or container.get("dependsOn")):
            yield f"{task.name}/{container['name']} migrates, or waits for a container that does"
        if task.name in services and any("rds!" in source for source in reachability.secrets(container).values()):
            yield f"{task.name}/{container['name']} is given the master password"


def mail_reaches_its_server(graph: Graph) -> Iterator[str]:
    """Through a closed port every mail fails after a day of attempts; without a server no such port is to be open."""
    outward = {
        each.port
        for each in reachability.matrix(graph)
        if (each.source, each.target) == (Role.BACKEND, reachability.INTERNET) and each.port in mail.PORTS
    }
    for service in graph.of("aws:ecs/service:Service"):
        if reachability.role_of(graph, service.name) != Role.BACKEND:
            continue
        given = "MAIL_URL" in reachability.secrets(reachability.main_container(graph, service.name))
        if given and not outward:
            yield f"{service.name} is given MAIL_URL, and no security group lets it reach a mail server"
        if outward and not given:
            yield f"{service.name} may reach mail servers ({', '.join(map(str, sorted(outward)))}) without MAIL_URL"


def _offered(graph: Graph) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is offered by Service Connect, with the service that offers it."""
    for service in graph.of("aws:ecs/service:Service"):
        for offered in (service.inputs.get("serviceConnectConfiguration") or {}).get("services", []):
            yield service.name, offered


CHECKS: Final = (
    service_connect_is_accepted,
    service_connect_reaches_its_port,
    containers_are_locked_down,
    deployments_can_be_changed_and_cut_off,
    no_service_migrates,
    mail_reaches_its_server,
)
