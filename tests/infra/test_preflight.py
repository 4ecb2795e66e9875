"""What prevents a deployment: read from the emulator where it has the calls, from staged responses elsewhere."""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any

import botocore.exceptions
import botocore.session
import pytest
from botocore.stub import Stubber

from aldea_infra.checks.account import unique_names
from aldea_infra.config import stack_file
from aldea_infra.config.parse import StackConfig
from aldea_infra.offline.graph import Graph
from aldea_infra.preflight import __main__ as preflight
from aldea_infra.preflight import account, cloud, names
from aldea_infra.preflight.cloud import Cloud, Row, Status, guarded
from onebox import stores
from onebox.ports import free_port
from onebox.process import Process


@pytest.fixture(autouse=True)
def no_second_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries wait longer and longer, and what the emulator lacks stays missing."""
    monkeypatch.setattr(cloud, "ATTEMPTS", 1)


SERVICES = "sts,ec2,ecr,ecs,elasticache,rds,iam,route53,sqs,secretsmanager,logs,monitoring,servicediscovery"
ZONE = "/hostedzone/Z1"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    process = Process(stores.sqs_spec(port, SERVICES), log=tmp_path_factory.mktemp("aws") / "log").start()
    yield stores.sqs_url(port)
    process.stop()


@pytest.fixture
def signed_in(emulator: str, monkeypatch: pytest.MonkeyPatch) -> botocore.session.Session:
    """The emulator takes an access key of twelve digits for the account's number."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", stack_file.read("prod")["stack"]["accountId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return botocore.session.get_session()


def config(stack: str = "prod") -> StackConfig:
    return StackConfig.model_validate(stack_file.read(stack))


class Staged:
    """Clients whose responses are staged; botocore's models check them."""

    def __init__(self, *services: str) -> None:
        session = botocore.session.get_session()
        session.set_credentials("key", "secret")
        self._clients = {name: session.create_client(name, region_name="us-west-2") for name in services}
        self._stubs = {name: Stubber(client) for name, client in self._clients.items()}
        for stub in self._stubs.values():
            stub.activate()

    def response(self, service: str, operation: str, **found: Any) -> None:
        self._stubs[service].add_response(operation, found)

    def error(self, service: str, operation: str, code: str) -> None:
        self._stubs[service].add_client_error(operation, code)

    def cloud(self) -> Cloud:
        return Cloud(self._clients.__getitem__)


def by_check(rows: Iterator[Row]) -> dict[str, Row]:
    return {row.check: row for row in rows}


def test_every_name_of_the_account_is_looked_up(graph: Graph) -> None:
    # Records are the zone's check, and of buckets Pulumi makes the names.
    elsewhere = ("aws:s3/", "aws:route53/")
    wanted = {(kind, name) for kind, name in unique_names(graph) if not kind.startswith(elsewhere)}
    assert wanted <= {(each.type, name) for each, name, _ in names.named(graph)}


def test_an_empty_account_is_read_to_its_end(
    signed_in: botocore.session.Session, prod: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signed_in.get_credentials() is not None
    assert preflight.main(["prod", "--json"]) == 1
    rows = {row["check"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["account"]["status"] == Status.OK
    for each in (
        "name: Repository prod-ws-proxy-backend", "name: Instance aldea-prod", "name: ReplicationGroup prod-ws-proxy",
        "name: Queue usage-updates-queue", "name: Secret imp-backend/env", "name: Policy prod-ws-proxy-boundary",
        "name: Role prod-ws-proxy-deploy", "name: Cluster prod-ws-proxy", "name: UserGroup prod-ws-proxy-users",
    ):  # fmt: skip
        assert rows[each]["status"] == Status.OK, rows[each]
    assert "create-hosted-zone" in rows["zone: aldea.ai"]["action"]
    assert rows["role: AWSServiceRoleForECS"]["action"].endswith("--aws-service-name ecs.amazonaws.com")
    assert rows["GitHub's provider"]["status"] == Status.OK
    # The emulator has no accelerators: what cannot be read is a row.
    assert rows["name: Accelerator prod-ws-proxy"]["status"] == Status.UNKNOWN
    assert len(rows) > len({name for _, name, _ in names.named(prod)})


def test_names_that_are_taken_are_reported(signed_in: botocore.session.Session, emulator: str, prod: Graph) -> None:
    def client(service: str) -> Any:
        return signed_in.create_client(service, region_name="us-west-2", endpoint_url=emulator)

    client("ecr").create_repository(repositoryName="prod-ws-proxy-frontend")
    client("sqs").create_queue(QueueName="usage-updates-queue-dlq")
    client("secretsmanager").create_secret(Name="imp-frontend/env", SecretString="{}")
    client("iam").create_policy(PolicyName="prod-ws-proxy-boundary", PolicyDocument="{}")
    rows = by_check(names.rows(Cloud(client), prod))
    for check in ("Repository prod-ws-proxy-frontend", "Queue usage-updates-queue-dlq", "Secret imp-frontend/env",
                  "Policy prod-ws-proxy-boundary"):  # fmt: skip
        assert rows[f"name: {check}"].status is Status.DO
        assert "adopt" in rows[f"name: {check}"].action


def test_without_credentials_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert preflight.main(["prod"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "credentials" in said.err


def test_an_account_that_does_not_respond_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert preflight.main(["dev"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("code", "action"),
    [("AccessDeniedException", "role"), ("AccessDenied", "role"), ("UnauthorizedOperation", "role"),
     ("ThrottlingException", "again"), ("InternalError", "manually")],
)  # fmt: skip
def test_a_refusal_is_a_row(code: str, action: str, prod: Graph) -> None:
    staged = Staged("service-quotas")
    staged.error("service-quotas", "get_service_quota", code)
    (row,) = guarded("quota", lambda: account.fargate(staged.cloud(), config(), prod))
    assert row.status is Status.UNKNOWN
    assert action in row.action


def test_what_one_call_is_refused_does_not_hide_the_other_names(prod: Graph) -> None:
    staged = Staged(*{"ecr", "sqs"})
    for _ in range(5):
        staged.error("ecr", "describe_repositories", "AccessDeniedException")
    for _ in range(2):
        staged.error("sqs", "get_queue_url", "QueueDoesNotExist")
    wanted = [each for each in prod.resources if each.type.endswith((":Repository", ":Queue"))]
    rows = list(names.rows(staged.cloud(), Graph("prod", wanted, {}, ())))
    assert sorted(row.status for row in rows) == [Status.OK] * 2 + [Status.UNKNOWN] * 5


class Silent:
    """A service that never responds."""

    def __getattr__(self, operation: str) -> Callable[..., None]:
        def call(**_: Any) -> None:
            raise botocore.exceptions.ReadTimeoutError(endpoint_url=f"https://aws/{operation}")

        return call


def test_a_time_out_is_a_row(prod: Graph) -> None:
    (row,) = guarded("addresses", lambda: account.addresses(Cloud(lambda _: Silent()), config(), prod))
    assert (row.status, "timeout" in row.found.lower()) == (Status.UNKNOWN, True)


def test_all_of_it_has_an_end(prod: Graph) -> None:
    times = iter(range(0, 10**6, 100))
    rows = list(preflight.look(Cloud(lambda _: Silent(), clock=lambda: float(next(times))), config(), prod))
    assert rows
    assert all(row.status is Status.UNKNOWN for row in rows[2:])


@pytest.mark.parametrize(("quota", "status"), [(6, Status.DO), (30, Status.LOOK), (1000, Status.OK)])
def test_fargates_quota_is_held_against_the_stack(quota: int, status: Status, prod: Graph) -> None:
    staged = Staged("service-quotas")
    staged.error("service-quotas", "get_service_quota", "NoSuchResourceException")
    staged.response("service-quotas", "get_aws_default_service_quota", Quota={"Value": quota})
    (row,) = account.fargate(staged.cloud(), config(), prod)
    assert row.status is status, row
    assert ("L-3032A538" in row.action) == (status is not Status.OK)


def test_addresses_of_this_stack_are_not_counted_twice(prod: Graph) -> None:
    ours = [{"Tags": [{"Key": "Cluster", "Value": "prod-ws-proxy"}]}] * 3
    for others, status in ((2, Status.OK), (3, Status.DO)):
        staged = Staged("ec2", "service-quotas")
        staged.response("ec2", "describe_addresses", Addresses=[*ours, *[{}] * others])
        staged.response("ec2", "describe_vpcs", Vpcs=[{}])
        for _ in range(2):
            staged.response("service-quotas", "get_service_quota", Quota={"Value": 5})
        rows = by_check(account.addresses(staged.cloud(), config(), prod))
        assert rows["quota: Elastic IPs"].status is status
        assert rows["quota: VPCs"].status is Status.OK


@pytest.mark.parametrize(
    ("records", "status"),
    [
        ([], Status.OK),
        ([("aldea.ai.", '0 issue "letsencrypt.org"')], Status.DO),
        ([("aldea.ai.", '0 issue ";"')], Status.DO),
        ([("aldea.ai.", '0 issue "letsencrypt.org"'), ("aldea.ai.", '0 issue "amazon.com"')], Status.OK),
        ([("aldea.ai.", '0 issue "letsencrypt.org"'), ("api.aldea.ai.", '0 issue "amazontrust.com"')], Status.OK),
        ([("aldea.ai.", '0 iodef "mailto:x@aldea.ai"')], Status.OK),
    ],
)
def test_a_record_that_keeps_amazon_from_issuing_is_reported(
    records: list[tuple[str, str]], status: Status, prod: Graph
) -> None:
    found = {name: [value for each, value in records if each == name] for name, _ in records}
    sets = [
        {"Name": name, "Type": "CAA", "TTL": 60, "ResourceRecords": [{"Value": value} for value in values]}
        for name, values in found.items()
    ]
    rows = by_check(account.zone(zone(sets), config(), prod))
    assert rows["CAA: api.aldea.ai"].status is status
    assert rows["record: api.aldea.ai A"].status is Status.OK


def test_a_record_that_is_there_is_reported(prod: Graph) -> None:
    taken = {"Name": "api.aldea.ai.", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}
    rows = by_check(account.zone(zone([taken]), config(), prod))
    assert rows["record: api.aldea.ai A"].status is Status.DO
    assert "alias-api.aldea.ai" in rows["record: api.aldea.ai A"].action


def zone(records: list[dict[str, Any]]) -> Cloud:
    staged = Staged("route53")
    held = {"Id": ZONE, "Name": "aldea.ai.", "CallerReference": "1", "Config": {"PrivateZone": False}}
    staged.response("route53", "list_hosted_zones_by_name", HostedZones=[held], IsTruncated=False, MaxItems="20")
    staged.response("route53", "get_hosted_zone", HostedZone=held, DelegationSet={"NameServers": ["ns-1.example"]})
    staged.response("route53", "list_resource_record_sets", ResourceRecordSets=records, IsTruncated=False,
                    MaxItems="300")  # fmt: skip
    return staged.cloud()


def test_a_version_that_the_region_lacks_is_reported(prod: Graph) -> None:
    staged = Staged("rds", "elasticache")
    staged.response("rds", "describe_db_engine_versions", DBEngineVersions=[])
    staged.response("elasticache", "describe_cache_engine_versions",
                    CacheEngineVersions=[{"EngineVersion": "7.1", "CacheParameterGroupFamily": "redis7"}])  # fmt: skip
    rows = by_check(account.engines(staged.cloud(), config(), prod))
    assert rows["engine: postgres 18"].status is Status.DO
    assert rows["size: db.m7g.large"].status is Status.DO
    assert rows["engine: redis 7.1"].status is Status.OK


@pytest.mark.parametrize(
    ("there", "came", "statuses"),
    [
        (False, [], [Status.OK, Status.LOOK]),
        (True, ["repo:aldea-ai/asr-platform:environment:dev"], [Status.DO, Status.OK]),
        (False, ["repo:aldea-ai@7/asr-platform@8:ref:refs/heads/main"], [Status.OK, Status.DO]),
        (False, ["repo:other/thing:environment:prod"], [Status.OK, Status.LOOK]),
    ],
)
def test_githubs_provider_and_its_subjects_form(
    there: bool, came: list[str], statuses: list[Status], prod: Graph
) -> None:
    staged = Staged("iam", "cloudtrail")
    arn = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
    staged.response("iam", "list_open_id_connect_providers", OpenIDConnectProviderList=[{"Arn": arn}] if there else [])
    events = [
        {
            "EventTime": dt.datetime(2026, 11, 1, tzinfo=dt.UTC),
            "CloudTrailEvent": json.dumps({"userIdentity": {"userName": subject}}),
        }
        for subject in came
    ]
    staged.response("cloudtrail", "lookup_events", Events=events)
    rows = list(account.github(staged.cloud(), config(), prod))
    assert [row.status for row in rows] == statuses


def test_the_table_has_a_line_for_what_to_do() -> None:
    said = preflight.table([Row("a", Status.OK, "fine"), Row("longer", Status.DO, "missing", "make it")])
    assert said.splitlines()[0] == "ok      a       fine"
    assert said.splitlines()[2].endswith("→ make it")
    assert said.endswith("1 ok, 0 look, 1 do, 0 unknown")
