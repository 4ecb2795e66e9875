"""Runs the program with no AWS account and no Pulumi CLI, against mocks, and returns the graph that it registered.

The stack's real file is read; secrets are made up. Each run has a thread, an event loop and a Pulumi context of its
own, so that runs leave nothing behind for one another.
"""

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pulumi
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import mocks, rpc, settings
from pulumi.runtime.config import set_all_config
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.stack import run_in_stack

from aldea_infra import stack
from aldea_infra.config import stack_file
from aldea_infra.config.parse import Secret
from aldea_infra.config.stack_file import PROJECT
from aldea_infra.offline import mocks as cloud
from aldea_infra.offline import provider_schema
from aldea_infra.offline.graph import UNKNOWN, Graph, Registered

# In place of the secrets that are stored encrypted in the stack's file, or are still to be set.
MADE_UP: Final[Mapping[Secret, str]] = {
    Secret.REDIS_AUTH_TOKEN: "made-up-redis-auth-token-0123456789",
    Secret.STT_UPSTREAM_TOKEN: "made-up-stt-upstream-token",
    Secret.CANARY_KEY: "org_made-up-canary-key",
    Secret.MAIL_URL: "smtps://made-up-user:made-up-password@mail.example.com:465",
}

# How the wire marks what is no plain value.
MARK: Final = rpc._special_sig_key  # noqa: SLF001 - the SDK's protocol constants are not public
SECRET_MARK: Final = rpc._special_secret_sig  # noqa: SLF001
RESOURCE_MARK: Final = rpc._special_resource_sig  # noqa: SLF001

Program = Callable[[], object]
Values = Mapping[str, Any]


class Rejected(Exception):
    """The program registered what no engine or provider would take: a URN twice, a property that does not exist."""


def run(
    name: str,
    *,
    values: Values | None = None,
    secrets: Mapping[Secret, str] = MADE_UP,
    unknown_outputs: bool = False,
    program: Program | None = None,
    ran: bool = True,
) -> Graph:
    """Run the program as stack `name`, with the stack file's values unless others are given.

    `ran`: whether the stack has been deployed before. `unknown_outputs`: like a preview, where nothing is known that
    only AWS knows. Raises ConfigError, Rejected, and what the program raises.
    """
    config = dict(values if values is not None else stack_file.read(name))
    result: list[Graph | BaseException] = []

    def work() -> None:
        try:
            result.append(_run(name, config, secrets, program or _program, unknown_outputs=unknown_outputs, ran=ran))
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            result.append(error)

    thread = threading.Thread(target=work, name=f"rehearsal-{name}")
    thread.start()
    thread.join()
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]


def _program() -> None:
    for key, value in stack.build(stack.read(pulumi.Config(PROJECT))).items():
        pulumi.export(key, value)


def _run(
    name: str, config: Values, secrets: Mapping[Secret, str], program: Program, *, unknown_outputs: bool, ran: bool
) -> Graph:
    texts = {
        f"{PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in config.items()
    }
    texts |= {f"{PROJECT}:{key}": text for key, text in secrets.items()}
    warnings = _Warnings()
    monitor = _Monitor(unknown_outputs, config.get("stack", {}).get("accountId", cloud.ACCOUNT), ran=ran)
    set_all_config(texts, [f"{PROJECT}:{key}" for key in secrets])
    settings.configure(
        mocks.MockSettings(
            monitor=monitor,
            monitor_features=set(monitor.GetDeploymentInfo(None).supportedFeatures),  # type: ignore[no-untyped-call]
            engine=mocks.MockEngine(warnings.logger),
            project=PROJECT,
            stack=name,
            organization="organization",
            dry_run=unknown_outputs,
            callbacks=None,
            outputs=set(),
            lock=threading.Lock(),
        )
    )
    # One worker, so that registrations are recorded in the order of their making.
    with ThreadPoolExecutor(1, "monitor", initializer=_open_loop) as pool, asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(pool)
        # The first failure is raised; the hundred that follow from it are not reported as well.
        runner.get_loop().set_exception_handler(lambda *_: None)
        try:
            runner.run(run_in_stack(lambda: _settled(program)))
        finally:
            pool.submit(_close_loop).result()
    if monitor.rejected:
        raise Rejected("; ".join(monitor.rejected))
    resources = sorted(monitor.registered, key=lambda each: each.urn)
    return Graph(name, resources, monitor.stack_outputs, tuple(warnings.texts))


async def _settled(program: Program) -> None:
    """Run the program and wait for its outputs in bulk; the SDK waits for each in turn, which takes seconds."""
    program()
    while pending := [task for task in settings.SETTINGS.outputs if not task.done()]:
        await asyncio.wait(pending)


def _open_loop() -> None:
    """Give the worker's thread the event loop that Pulumi's mocks expect there."""
    asyncio.set_event_loop(asyncio.new_event_loop())


def _close_loop() -> None:
    asyncio.get_event_loop_policy().get_event_loop().close()


class _Warnings(logging.Handler):
    """What the program reports to a person, collected."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self.logger = logging.getLogger("aldea_infra.offline.mock_run")
        self.logger.propagate = False
        self.logger.handlers = [self]

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


class _Nothing(mocks.Mocks):
    """The monitor below responds by itself."""

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], None]:
        raise NotImplementedError(args.token)

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        raise NotImplementedError(args.typ)


class _Monitor(mocks.MockMonitor):
    """Records what is registered, and responds as `cloud` says."""

    def __init__(self, unknown_outputs: bool, account: str, *, ran: bool) -> None:
        super().__init__(_Nothing())
        self._account, self._ran = account, ran
        self._unknown_outputs = unknown_outputs
        self.registered: list[Registered] = []
        self.rejected: list[str] = []
        self.stack_outputs: dict[str, Any] = {}

    def Invoke(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        if request.tok == "pulumi:pulumi:getResource":
            return super().Invoke(request)  # type: ignore[no-untyped-call]
        response = cloud.look_up(request.tok, MessageToDict(request.args), self._account)
        return resource_pb2.ResourceInvokeResponse(**{"return": _struct(response)})

    def ReadResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        """The stack's own last outputs, as a reference to it reads them."""
        if request.type != "pulumi:pulumi:StackReference":
            return super().ReadResource(request)  # type: ignore[no-untyped-call]
        urn = self.make_urn(request.parent, request.type, request.name)
        found = {
            "name": request.id,
            "outputs": {"images": cloud.RUNNING if self._ran else None},
            "secretOutputNames": [],
        }
        return resource_pb2.ReadResourceResponse(urn=urn, properties=_struct(found))

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return resource_pb2.RegisterResourceResponse(urn=urn)
        raw = MessageToDict(request.object)
        secret_inputs: set[str] = set()
        inputs = {key: _plain(value, key, secret_inputs) for key, value in raw.items()}
        if urn in self.resources:
            self.rejected.append(f"{urn} is registered twice; allowed: one resource of a type and name below a parent")
        self.rejected += provider_schema.faults(request.type, inputs)
        id_, outputs = cloud.identify(request.type, request.name, inputs, self._account)
        if request.type == "awsx:ec2:Vpc":
            outputs["routeTables"] = self._route_tables(outputs)
        self.registered.append(_registered(urn, request, inputs, frozenset(secret_inputs), id_, outputs))
        self.resources[urn] = mocks.MockMonitor.ResourceRegistration(urn, id_, outputs)
        if self._unknown_outputs:
            # The inputs come back (a remote component's do not); what else there will be is not known yet.
            return resource_pb2.RegisterResourceResponse(
                urn=urn, id="", object=None if request.remote else request.object
            )
        registered = {**outputs, **{key: raw[key] for key in secret_inputs}}
        return resource_pb2.RegisterResourceResponse(urn=urn, id=id_, object=_struct(registered))

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        if request.urn.split("::")[2] == "pulumi:pulumi:Stack":
            self.stack_outputs = {
                key: _plain(value, key, set()) for key, value in MessageToDict(request.outputs).items()
            }
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]

    def _route_tables(self, vpc: Values) -> list[dict[str, Any]]:
        """References to the route tables that awsx makes inside its VPC: one, and one more for each other subnet."""
        references = []
        for subnet in [*vpc["publicSubnetIds"], *vpc["privateSubnetIds"], *vpc["isolatedSubnetIds"]]:
            urn = self.make_urn("", "aws:ec2/routeTable:RouteTable", subnet)
            table = f"rtb-{subnet.removeprefix('subnet-')}"
            self.resources[urn] = mocks.MockMonitor.ResourceRegistration(urn, table, {"id": table})
            references.append({MARK: RESOURCE_MARK, "urn": urn, "id": table})
        return references


def _registered(
    urn: str, request: Any, inputs: Values, secret_inputs: frozenset[str], id_: str, outputs: Values
) -> Registered:
    sources = {key: tuple(sorted(listed.urns)) for key, listed in request.propertyDependencies.items() if listed.urns}
    implied = {each for urns in sources.values() for each in urns}
    timeouts = {key: value for key, value in MessageToDict(request.customTimeouts).items() if value}
    return Registered(
        urn=urn,
        type=request.type,
        name=request.name,
        parent=request.parent,
        inputs=inputs,
        secret_inputs=secret_inputs,
        outputs=outputs,
        id=id_,
        depends_on=tuple(sorted({*request.dependencies, *implied})),
        sources=sources,
        protect=request.protect,
        import_id=request.importId,
        ignore_changes=tuple(request.ignoreChanges),
        delete_before_replace=request.deleteBeforeReplace,
        retain_on_delete=request.retainOnDelete,
        timeouts=timeouts,
    )


def _struct(value: Values) -> Any:
    struct = resource_pb2.ResourceInvokeRequest().args
    struct.update(value)
    return struct


def _plain(value: Any, key: str, secret_inputs: set[str]) -> Any:
    """A wire value as Python has it: secrets unwrapped (their property noted), whole floats as ints."""
    if isinstance(value, dict):
        if value.get(MARK) == SECRET_MARK:
            secret_inputs.add(key)
            return _plain(value.get("value"), key, secret_inputs)
        if MARK in value:
            return value.get("urn", "asset")
        return {name: _plain(each, key, secret_inputs) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, key, secret_inputs) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return UNKNOWN if value == rpc.UNKNOWN else value
