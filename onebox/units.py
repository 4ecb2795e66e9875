"""What the onebox runs: each store and service as a process, what it needs in its environment, and in which order."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from aldea_infra.components.redis_access import password
from onebox import containers, redis_users, stores
from onebox.balancer import HOSTS
from onebox.home import BALANCER, ROOT, Home
from onebox.observe import units as observe
from onebox.ports import port_accepts
from onebox.process import ProcessSpec
from onebox.supervisor import Step, Supervisor, Unit

PYTHONPATH: Final = os.pathsep.join(str(ROOT / folder) for folder in ("services", "infra", "."))

# A person waits at the terminal when it stops: streams that are open get this long to end.
DRAIN_SECONDS: Final = 3.0

# The stores and what replaces each: a URL in the environment, which is how production runs.
REPLACED_BY: Final = {
    "postgres": "DATABASE_URL",
    "redis": "REDIS_URL",
    "sqs": "SQS_ENDPOINT_URL",
    "stt_api": "STT_UPSTREAMS",
}
# What runs beside the stores and the engine, each by `python -m`.
SERVICES: Final = ("ws_proxy", "http_proxy", "backend", "frontend", "sqs_updater")
# Target of the routing table → the service behind it here.
TARGETS: Final = {
    "ws-proxy": "ws_proxy",
    "http-proxy": "http_proxy",
    "backend": "backend",
    "frontend": "frontend",
}
# The second STT server of `demo --kill-engine`.
SECOND_ENGINE: Final = "stt_api-2"
MIGRATIONS: Final = "migrations"
ACCOUNT: Final = "account"
DEMO_EMAIL: Final = "demo@aldea.localhost"
ENVIRONMENT: Final = "onebox"
# The balancer appends one address to X-Forwarded-For; the console passes one on to the backend.
FORWARDED_HOPS: Final = "1"


@dataclass(frozen=True)
class Plan:
    """What to run here and where: decided once, before anything starts."""

    home: Home
    ports: Mapping[str, int]
    embedded: frozenset[str]
    environment: Mapping[str, str]
    # The tag of the images that the services are run from; None: from this checkout.
    images: str | None = None
    # How many times as fast as shipped Prometheus' rules are.
    faster: int = 1

    def address(self, name: str) -> str:
        """The base URL of a service here."""
        return f"http://127.0.0.1:{self.ports[name]}"

    @property
    def services(self) -> list[str]:
        """What has an image and runs here."""
        return [name for name in (*SERVICES, "stt_api") if name in self.ports]

    @property
    def engines(self) -> dict[str, str]:
        """The embedded STT servers' base URLs, by name."""
        return {name: self.address(name) for name in ("stt_api", SECOND_ENGINE) if name in self.ports}

    @property
    def database_url(self) -> str:
        """The database, embedded or given."""
        return self.postgres.url if "postgres" in self.embedded else self.environment["DATABASE_URL"]

    def database_url_as(self, role: str) -> str:
        """The database with the rights that a service has in production. A given one is taken as it is."""
        return f"{self.database_url}?role={role}" if "postgres" in self.embedded else self.database_url

    @property
    def redis_url(self) -> str:
        """The Redis, embedded (as its administrator) or given."""
        if "redis" in self.embedded:
            return stores.redis_url(self.ports["redis"], self.home.secret("redis"))
        return self.environment["REDIS_URL"]

    def redis_url_as(self, name: str) -> str:
        """The Redis with the rights that a service has in production. A given one is taken as it is."""
        if "redis" not in self.embedded:
            return self.redis_url
        role = redis_users.ROLE_OF[name]
        return stores.redis_url(self.ports["redis"], password(self.home.secret("redis"), role), role)

    @property
    def postgres(self) -> stores.Postgres:
        """The embedded PostgreSQL."""
        return stores.Postgres(self.home.path / "postgres", self.ports["postgres"])


def plan(
    home: Home,
    balancer_port: int | None,
    environment: Mapping[str, str],
    images: str | None = None,
    *,
    two_engines: bool = False,
    observed: bool = False,
    faster: int = 1,
) -> Plan:
    """Decide what is embedded and on which ports. Raises PortTaken. `observed`: /metrics are served, and looked at."""
    embedded = frozenset(name for name, variable in REPLACED_BY.items() if not environment.get(variable))
    names = [BALANCER, *SERVICES, *sorted(embedded)]
    if two_engines and "stt_api" in embedded:
        names.append(SECOND_ENGINE)
    if observed:
        served = [name for name in (*SERVICES, "stt_api") if name in names]
        names += [observe.PAGE, *observe.installed(), *map(observe.metrics_port, served)]
    return Plan(home, home.ports(names, balancer_port), embedded, environment, images, faster)


def units(chosen: Plan) -> list[Unit]:
    """Everything to run; who waits for whom is in each unit."""
    environment = chosen.environment
    redis = {
        name: {
            "REDIS_URL": chosen.redis_url_as(name),
            # Everything shares this machine: a busy moment is no lost Redis.
            "REDIS_COMMAND_SECONDS": environment.get("REDIS_COMMAND_SECONDS") or "1",
        }
        for name in redis_users.ROLE_OF
    }
    queues = _queue_environment(chosen)
    stt = {
        "STT_UPSTREAMS": environment.get("STT_UPSTREAMS") or ",".join(chosen.engines.values()),
        "LANE": environment.get("LANE") or "local",
    }
    engine = {}
    if "stt_api" in chosen.embedded:
        stt["STT_UPSTREAM_TOKEN"] = engine["STT_API_TOKEN"] = chosen.home.secret("stt")
    backend = {
        **redis["backend"],
        **queues,
        "DATABASE_URL": chosen.database_url_as("imp_backend"),
        "CONSOLE_ORIGIN": console_address(chosen),
        "FORWARDED_HOPS": FORWARDED_HOPS,
        **_mail_environment(chosen),
    }
    updater = {**queues, "DATABASE_URL": chosen.database_url_as("sqs_updater")}
    targets = {target: chosen.address(name) for target, name in TARGETS.items()}
    found = [
        *_stores(chosen),
        *(_service(name, chosen, engine, module="stt_api", stop_stage=3) for name in chosen.engines),
        _service("ws_proxy", chosen, {**redis["ws_proxy"], **stt}, after=("redis",)),
        _service("http_proxy", chosen, {**redis["http_proxy"], **stt}, after=("redis",)),
        _service(
            "backend",
            chosen,
            backend,
            after=(ACCOUNT, "redis", "sqs"),
            stop_stage=2,
        ),
        _service("sqs_updater", chosen, updater, after=(MIGRATIONS, "sqs"), stop_stage=2),
        _service("frontend", chosen, _console_environment(chosen), after=("backend",)),
        Unit(
            spec=_python(BALANCER, "onebox.balancer", chosen, {"TARGETS": json.dumps(targets)}),
            stop_stage=1,
        ),
        *_observers(chosen, stt["LANE"]),
    ]
    return [unit for unit in found if unit.spec.name in chosen.ports]


def _observers(chosen: Plan, lane: str) -> list[Unit]:
    """What looks at /metrics, if something does."""
    if observe.PAGE not in chosen.ports:
        return []
    served = {name: chosen.ports.get(observe.metrics_port(name)) for name in (*SERVICES, "stt_api")}
    targets = {name: f"127.0.0.1:{port}" for name, port in served.items() if port}
    pages = {"TARGETS": json.dumps({name: f"http://{address}/metrics" for name, address in targets.items()})}
    if observe.PROMETHEUS in chosen.ports:
        pages |= {"PROMETHEUS_URL": chosen.address(observe.PROMETHEUS), "DATABASE_URL": chosen.database_url}
    folder = chosen.home.path / "observe"
    specs = [_python(observe.PAGE, "onebox.observe.page", chosen, pages, ready_path="/healthz")]
    if observe.PROMETHEUS in chosen.ports:
        port = chosen.ports[observe.PROMETHEUS]
        specs.append(observe.prometheus(folder, port, targets, lane, chosen.faster))
    if observe.GRAFANA in chosen.ports:
        source = chosen.address(observe.PROMETHEUS) if observe.PROMETHEUS in chosen.ports else "http://127.0.0.1:9090"
        specs.append(observe.grafana(folder / "grafana", chosen.ports[observe.GRAFANA], source, chosen.database_url))
    return [Unit(spec=spec, plain_level="debug") for spec in specs]


def steps(chosen: Plan, supervisor: Supervisor) -> list[Step]:
    """What is done once on the way up: the schema, and an account with a key for the demo."""
    environment = {"PYTHONPATH": PYTHONPATH, "DATABASE_URL": chosen.database_url, "ENVIRONMENT": ENVIRONMENT}

    def command(name: str, *arguments: str, given: str = "") -> ProcessSpec:
        return ProcessSpec(name=name, argv=(sys.executable, "-m", "backend", *arguments), env=environment, given=given)

    async def migrate() -> None:
        spec = command(MIGRATIONS, "migrate")
        if chosen.images is not None:
            # As in production: the backend's image brings the schema that its code needs.
            name = container_name(chosen, MIGRATIONS)
            containers.remove(name)
            migrating = ("python", "-m", "backend", "migrate")
            spec = containers.in_container(spec, "backend", chosen.images, name, migrating)
        await supervisor.run_command(spec)

    async def make_account() -> None:
        # What exists stays: the same login and key at every start, as long as the database is the same.
        await supervisor.run_command(
            command(
                ACCOUNT, "bootstrap", "--email", DEMO_EMAIL, "--password-stdin", "--project", "Demo",
                "--key-file", str(demo_key_file(chosen.home)), given=demo_password(chosen.home) + "\n",
            )
        )  # fmt: skip

    return [
        Step(name=MIGRATIONS, run=migrate, after=("postgres",)),
        Step(name=ACCOUNT, run=make_account, after=(MIGRATIONS,)),
    ]


def demo_password(home: Home) -> str:
    """The demo account's password, made once."""
    return home.secret("demo-password")


def demo_key_file(home: Home) -> Path:
    """Where the demo account's API key is kept, readable by its owner alone."""
    return home.path / "demo.key"


def _stores(chosen: Plan) -> list[Unit]:
    found = []
    data = chosen.home.path
    if "postgres" in chosen.embedded:
        server = chosen.postgres

        async def create_database() -> None:
            await asyncio.to_thread(server.create_database)

        found.append(_store(server.spec(), prepare=server.prepare, once_ready=create_database))
    if "redis" in chosen.embedded:
        spec = stores.redis_spec(data / "redis", chosen.ports["redis"], chosen.home.secret("redis"))
        found.append(_store(spec))
    if "sqs" in chosen.embedded:
        spec = stores.sqs_spec(chosen.ports["sqs"], state=data / "sqs")

        async def create_queues() -> None:
            await asyncio.to_thread(stores.create_queues, chosen.ports["sqs"])

        # It ends behind those whose long polls it would cut.
        found.append(_store(spec, once_ready=create_queues, stop_stage=3))
    return found


def _store(
    spec: ProcessSpec,
    *,
    prepare: Callable[[], None] | None = None,
    once_ready: Callable[[], Awaitable[None]] | None = None,
    stop_stage: int = 4,
) -> Unit:
    # What a store prints for its own administrator is in its log file.
    return Unit(spec=spec, prepare=prepare, once_ready=once_ready, stop_stage=stop_stage, tries=5, plain_level="debug")


def _service(
    name: str,
    chosen: Plan,
    environment: Mapping[str, str],
    *,
    module: str = "",
    after: tuple[str, ...] = (),
    stop_stage: int = 0,
) -> Unit:
    """`module`: what it runs, if that is not its name."""
    if (port := chosen.ports.get(observe.metrics_port(name))) is not None:
        environment = {**environment, "METRICS_PORT": str(port)}
    spec = _python(name, module or name, chosen, environment, ready_path="/readyz")
    if chosen.images is None:
        return Unit(spec=spec, after=after, stop_stage=stop_stage)
    container = container_name(chosen, name)
    return Unit(
        spec=containers.in_container(spec, module or name, chosen.images, container),
        after=after,
        stop_stage=stop_stage,
        # A client that was killed leaves its container running.
        prepare=lambda: containers.remove(container),
    )


def container_name(chosen: Plan, name: str) -> str:
    """A container's name that no other onebox of this machine uses: the balancer's port is one's own."""
    return f"aldea-onebox-{chosen.ports[BALANCER]}-{name.replace('_', '-')}"


def _python(
    name: str, module: str, chosen: Plan, environment: Mapping[str, str], *, ready_path: str | None = None
) -> ProcessSpec:
    port = chosen.ports.get(name, 0)
    ready = (
        (lambda: stores.http_ok(f"http://127.0.0.1:{port}{ready_path}")) if ready_path else lambda: port_accepts(port)
    )
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-m", module),
        env={
            **environment,
            "PYTHONPATH": PYTHONPATH,
            "PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "ENVIRONMENT": ENVIRONMENT,
            "DRAIN_SECONDS": str(DRAIN_SECONDS),
        },
        ready=ready,
    )


def _queue_environment(chosen: Plan) -> dict[str, str]:
    """Where the queues are; the emulator's client library insists on some credentials, others come as they are."""
    if "sqs" not in chosen.embedded:
        from onebox.given.queues import queue_urls  # noqa: PLC0415 - with AWS's client library, not needed otherwise

        return {"SQS_ENDPOINT_URL": chosen.environment["SQS_ENDPOINT_URL"], **queue_urls(chosen.environment)}
    port = chosen.ports["sqs"]
    return {
        **stores.AWS_ENV,
        "AWS_REGION": stores.AWS_ENV["AWS_DEFAULT_REGION"],
        "SQS_ENDPOINT_URL": stores.sqs_url(port),
        "USAGE_QUEUE_URL": stores.queue_url(port, stores.USAGE_QUEUE),
        "USAGE_DLQ_URL": stores.queue_url(port, stores.USAGE_DLQ),
    }


def mail_folder(home: Home) -> Path:
    """Where mails are written; each is announced in the terminal."""
    return home.path / "mail"


def _mail_environment(chosen: Plan) -> dict[str, str]:
    """A mail server of the environment's, or a folder. An image has no folder of this machine's to write to."""
    url = chosen.environment.get("MAIL_URL")
    if not url and chosen.images is not None:
        return {}
    return {"MAIL_URL": url or f"file:{quote(str(mail_folder(chosen.home).resolve()))}"}


def console_address(chosen: Plan) -> str:
    """Where a browser finds the console."""
    return f"http://{HOSTS.platform}:{chosen.ports[BALANCER]}"


def _console_environment(chosen: Plan) -> dict[str, str]:
    return {
        "PLATFORM_API_URL": chosen.address("backend"),
        # Not api.localhost: programs that take the address from a snippet may not resolve names below localhost.
        "PUBLIC_API_URL": f"http://localhost:{chosen.ports[BALANCER]}",
        "COOKIE_SECURE": "false",
        "FORWARDED_HOPS": FORWARDED_HOPS,
    }
