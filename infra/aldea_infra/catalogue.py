"""What each container image is: its port, its program and the figures that every deployment of it shares. No pulumi."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aldea_infra.routing import Target


class Image(StrEnum):
    """The five images, each with its own ECR repository `{cluster}-{image}`."""

    WS_PROXY = "ws-proxy"
    HTTP_PROXY = "http-proxy"
    BACKEND = "backend"
    FRONTEND = "frontend"
    SQS_UPDATER = "sqs-updater"

    @property
    def package(self) -> str:
        """The Python package it runs, also the SERVICE build argument."""
        return self.value.replace("-", "_")


class Role(StrEnum):
    """What a service is for: it decides its security group, its permissions and its environment."""

    WS_PROXY = "ws-proxy"
    HTTP_PROXY = "http-proxy"
    BACKEND = "backend"
    FRONTEND = "frontend"
    SQS_UPDATER = "sqs-updater"
    CANARY = "canary"


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """The fixed facts of a role."""

    image: Image
    port: int | None  # what the container serves its traffic and /healthz on; None: nothing listens
    target: Target | None  # the routing target that it serves
    stop_seconds: int  # ECS's stopTimeout: SIGTERM to SIGKILL, at most 120 s on Fargate
    command: tuple[str, ...] = ()  # empty: the image's own; `runtime.command` adds the arguments
    needs_lane: bool = False


# The health check of every image, for the load balancer: liveness, never a dependency.
HEALTH_PATH: Final = "/healthz"
# The name of a service's container in its task definition, and of the task's that only migrates.
MAIN_CONTAINER: Final = "main"
MIGRATE_CONTAINER: Final = "migrate"
REDIS_PORT: Final = 6379
POSTGRES_PORT: Final = 5432
# The registry's exposition, reachable inside the task only (no security group rule opens it).
METRICS_PORT: Final = 9100
# Service Connect's proxy in a backend task listens here, so that the load balancer reaches the container itself: its
# X-Forwarded-For then has the same hops with or without the proxy (ECS API reference, ingressPortOverride).
CONNECT_PORT: Final = 8113
# Fargate's longest; the streams' real drain is the deregistration delay before SIGTERM.
LONGEST_STOP: Final = 120
# Between the drain's own end and SIGKILL, for the last readings and the loop's shutdown.
STOP_MARGIN: Final = 10

ROLES: Final[dict[Role, RoleSpec]] = {
    Role.WS_PROXY: RoleSpec(Image.WS_PROXY, 8101, Target.WS_PROXY, LONGEST_STOP, needs_lane=True),
    Role.HTTP_PROXY: RoleSpec(Image.HTTP_PROXY, 8102, Target.HTTP_PROXY, LONGEST_STOP, needs_lane=True),
    Role.BACKEND: RoleSpec(Image.BACKEND, 8103, Target.BACKEND, 60),
    Role.FRONTEND: RoleSpec(Image.FRONTEND, 8104, Target.FRONTEND, 30),
    Role.SQS_UPDATER: RoleSpec(Image.SQS_UPDATER, 8105, None, 60),
    Role.CANARY: RoleSpec(Image.WS_PROXY, None, None, 30, command=("python", "-m", "aldea.canary")),
}

# Those whose work on a request is recorded as spans, where the stack has a collector.
TRACED: Final = frozenset({Role.WS_PROXY, Role.HTTP_PROXY, Role.BACKEND, Role.FRONTEND, Role.SQS_UPDATER})

# The load balancer closes an idle connection after this; a service keeps one open for longer
# (aldea.service.lifecycle.KEEPALIVE_SECONDS), or the balancer would sometimes use a closing one and respond with 502.
ALB_IDLE_SECONDS: Final = 330
SERVICE_KEEPALIVE_SECONDS: Final = 400
# Global Accelerator and NAT gateways forget a TCP flow that was silent for about 340 s.
FLOW_IDLE_SECONDS: Final = 340
WEBSOCKET_PING_SECONDS: Final = 25
# The response to a recorded file must begin within this (http-proxy's own deadline): below the balancer's idle timeout.
FIRST_BYTE_SECONDS: Final = 300

# Fargate's CPU units and, for each, the memory sizes (MB) that exist.
FARGATE_MEMORY: Final[dict[int, tuple[int, ...]]] = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4096 + 1, 1024)),
    1024: tuple(range(2048, 8192 + 1, 1024)),
    2048: tuple(range(4096, 16384 + 1, 1024)),
    4096: tuple(range(8192, 30720 + 1, 1024)),
}
