"""Both stacks pass every check; what infra says of the services is what the services say of themselves."""

import inspect
import json
from types import ModuleType

import pytest
from prometheus_client import REGISTRY

from aldea.admission import outbox
from aldea.canary import __main__ as canary
from aldea.canary.reports import Outcome
from aldea.metrics import EMF_NAMESPACE, EmfEmitter
from aldea.service import lifecycle
from aldea.settings import ServiceSettings
from aldea.upstream import CIRCUIT_OPEN
from aldea_infra import catalogue
from aldea_infra.checks import documents, isolation, limits, prose, reachability, run, security, services
from aldea_infra.components import metric_names, task_environment
from aldea_infra.offline.graph import Graph
from backend.pipeline.metrics import STREAM_AGE
from backend.schema import roles
from http_proxy.settings import HttpProxySettings
from sqs_updater import consumer
from sqs_updater.metrics import HALTED
from tests.infra.contracts import CONTRACTS
from ws_proxy import metrics as ws_metrics
from ws_proxy.settings import Settings as WsProxySettings


def test_a_stack_passes_every_check(graph: Graph) -> None:
    assert run.run(graph, CONTRACTS) == []


@pytest.mark.parametrize("module", [security, isolation, limits, services, documents, prose])
def test_every_check_is_performed_and_says_its_reason(module: ModuleType) -> None:
    written = {
        function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert written == set(module.CHECKS)
    assert written <= set(run.CHECKS)
    assert all(each.__doc__ for each in written)


# The catalogue's figures are the services' own; infra imports no service, so they are compared here.
def test_the_times_are_those_of_the_services() -> None:
    assert lifecycle.KEEPALIVE_SECONDS == catalogue.SERVICE_KEEPALIVE_SECONDS
    assert HttpProxySettings.model_fields["first_byte_seconds"].default == catalogue.FIRST_BYTE_SECONDS
    assert WsProxySettings.model_fields["ping_seconds"].default == catalogue.WEBSOCKET_PING_SECONDS


def test_messages_stay_hidden_for_more_than_two_batches(graph: Graph) -> None:
    queue = graph.one("aws:sqs/queue:Queue", "usage-queue")
    assert queue.inputs["visibilityTimeoutSeconds"] > 2 * consumer.BATCH_SECONDS


@pytest.mark.parametrize(("role", "settings"), [("ws-proxy", WsProxySettings), ("http-proxy", HttpProxySettings)])
def test_the_ports_are_the_services_defaults(role: str, settings: type[ServiceSettings]) -> None:
    assert settings.model_fields["port"].default == catalogue.ROLES[catalogue.Role(role)].port


def test_every_watched_metric_is_emitted_by_a_service() -> None:
    assert metric_names.NAMESPACE == EMF_NAMESPACE
    registered = (ws_metrics.ACTIVE_STREAMS, outbox.READINGS_DROPPED, STREAM_AGE, HALTED, CIRCUIT_OPEN)
    assert all(registered)  # importing them registers them
    ws_metrics.FIRST_WORDS_SECONDS.labels("any", "any").observe(1)  # its values are sent only where there are some
    emitted = emf_names(EmfEmitter("service", "test").documents(REGISTRY.collect(), 0))
    emitted |= emf_names(canary.emf(Outcome(ok=True, seconds=1.0, steps=()), "canary", "test", 0))
    assert set(metric_names.ALL) <= emitted


def emf_names(documents: list[str]) -> set[str]:
    return {name for document in documents for name in json.loads(document)}


def test_who_talks_to_whom_is_the_recorded_design(graph: Graph) -> None:
    inside = {(each.source, each.target) for each in reachability.matrix(graph)}
    canary = {("canary", "internet")} if graph.stack == "prod" else set()
    assert inside == canary | {
        ("clients", "balancer"),
        ("balancer", "ws-proxy"), ("balancer", "http-proxy"), ("balancer", "backend"), ("balancer", "frontend"),
        ("frontend", "backend"),
        ("ws-proxy", "redis"), ("http-proxy", "redis"), ("backend", "redis"),
        ("backend", "database"), ("sqs-updater", "database"),
        # The STT servers, AWS's APIs, customers' callbacks; the canary goes through the public address.
        ("ws-proxy", "internet"), ("http-proxy", "internet"), ("backend", "internet"), ("frontend", "internet"),
        ("sqs-updater", "internet"),
    }  # fmt: skip


TASK_PERMISSIONS = {
    "ws-proxy": {"elasticloadbalancing:DescribeTargetHealth", "elasticloadbalancing:DescribeRules"},
    "http-proxy": set(),
    "backend": {"sqs:SendMessage", "sqs:GetQueueAttributes", "rds-db:connect"},
    "frontend": set(),
    "sqs-updater": {
        "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes",
        "sqs:SendMessage", "rds-db:connect",
    },
    "canary": set(),
}  # fmt: skip


def test_each_task_role_lists_exactly_what_its_service_calls(graph: Graph) -> None:
    for each in graph.of("aws:ecs/service:Service"):
        held = {
            action
            for holder, found in graph.policies()
            if holder.name == f"{each.name}-task" and holder.type.endswith("RolePolicy")
            for action in found["Action"]
        }
        assert held == TASK_PERMISSIONS[reachability.role_of(graph, each.name)], each.name


def test_the_worker_may_replay_dead_letters(graph: Graph) -> None:
    queues = {each.outputs["arn"] for each in graph.of("aws:sqs/queue:Queue")}
    policy = graph.one("aws:iam/rolePolicy:RolePolicy", "sqs-updater-task").json("policy")["Statement"]
    reach_of = {action: set(found["Resource"]) for found in policy for action in found["Action"]}
    for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:SendMessage"):
        assert reach_of[action] == queues


def test_services_sign_in_as_the_roles_that_the_migration_makes(graph: Graph) -> None:
    assert set(task_environment.DATABASE_USERS.values()) == set(roles.TABLES)
    secrets = {"backend": "imp-backend-env", "sqs-updater": "sqs-updater-env"}
    for part, role in (("backend", roles.BACKEND), ("sqs-updater", roles.SQS_UPDATER)):
        name = next(each.name for each in graph.of("TaskDefinition") if reachability.role_of(graph, each.name) == part)
        secret = graph.one("SecretVersion", secrets[part])
        assert json.loads(secret.inputs["secretString"])["DATABASE_URL"].startswith(f"postgresql://{role}@")
        policy = graph.one("aws:iam/rolePolicy:RolePolicy", f"{name}-task").json("policy")["Statement"]
        signs_in = next(each for each in policy if each["Action"] == ["rds-db:connect"])
        assert [arn.rpartition("/")[2] for arn in signs_in["Resource"]] == [role]


def test_only_the_migration_is_given_the_master_password(graph: Graph) -> None:
    given = [
        (task.name, found["name"])
        for task, found in graph.containers()
        if any("rds!" in source for source in reachability.secrets(found).values())
    ]
    assert [name for _, name in given] == ["migrate"]
