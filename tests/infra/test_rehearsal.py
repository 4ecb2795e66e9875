"""The harness itself: it runs both stacks, and notices what an engine or a provider would refuse."""

import logging
import threading

import pulumi
import pulumi_aws as aws
import pytest

from aldea_infra.config import stack_file
from aldea_infra.config.parse import ConfigError, Secret
from aldea_infra.offline import mock_run
from aldea_infra.offline.graph import UNKNOWN, Graph


def run(program: mock_run.Program, *, unknown_outputs: bool = False) -> Graph:
    return mock_run.run("made-up", values={}, program=program, unknown_outputs=unknown_outputs)


def test_both_stacks_register_from_their_real_files(graph: Graph) -> None:
    assert len(graph.resources) > 150
    assert not graph.warnings
    assert graph.outputs["cluster"] == graph.one("aws:ecs/cluster:Cluster").inputs["name"]


@pytest.mark.parametrize("name", ["prod", "dev"])
def test_a_run_shaped_like_a_preview_registers_the_same_resources(name: str, request: pytest.FixtureRequest) -> None:
    known: Graph = request.getfixturevalue(name)
    unknown = mock_run.run(name, unknown_outputs=True)
    # A proof record of the certificate and all others: nothing hangs on a value that a preview does not know.
    assert [each.urn for each in unknown.resources] == [each.urn for each in known.resources]
    assert unknown.one("LoadBalancer").inputs["subnets"] == UNKNOWN


def test_a_resource_registered_twice_is_caught() -> None:
    def program() -> None:
        aws.sqs.Queue("same")
        aws.sqs.Queue("same")

    with pytest.raises(mock_run.Rejected, match="registered twice"):
        run(program)


def test_the_same_name_below_two_parents_is_no_duplicate() -> None:
    def program() -> None:
        for name in ("first", "second"):
            parent = pulumi.ComponentResource("aldea:x:" + name.title(), name)
            aws.sqs.Queue("same", opts=pulumi.ResourceOptions(parent=parent))

    assert len(run(program).of("Queue")) == 2


def test_an_unknown_property_of_a_resource_is_caught() -> None:
    with pytest.raises(TypeError, match="visibility_timeout"):
        run(lambda: aws.sqs.Queue("queue", visibility_timeout=3))  # type: ignore[call-overload]


def test_an_unknown_property_inside_a_dictionary_is_caught() -> None:
    def program() -> None:
        # pulumi's own type checks do not look into dictionaries; the key should be `path`.
        aws.lb.TargetGroup("group", health_check={"pfad": "/healthz"})  # type: ignore[call-overload]

    with pytest.raises(mock_run.Rejected, match=r"healthCheck: unknown property pfad"):
        run(program)


def test_an_unknown_property_inside_a_list_is_caught() -> None:
    def program() -> None:
        rule = {"id": "x", "status": "Enabled", "expires": {"days": 3}}
        aws.s3.BucketLifecycleConfiguration("rules", bucket="b", rules=[rule])  # type: ignore[list-item]

    with pytest.raises(mock_run.Rejected, match=r"rules\[0\]: unknown property expires"):
        run(program)


def test_a_missing_required_property_of_a_resource_is_caught() -> None:
    with pytest.raises(TypeError, match="Missing required property 'role'"):
        run(lambda: aws.iam.RolePolicy("policy", policy="{}"))


def test_a_missing_required_property_inside_a_dictionary_is_caught() -> None:
    def program() -> None:
        action = {"type": "redirect", "redirect": {"port": "443"}}
        aws.lb.Listener("l", load_balancer_arn="arn", default_actions=[action])  # type: ignore[list-item]

    with pytest.raises(mock_run.Rejected, match="redirect: missing required property statusCode"):
        run(program)


def test_an_output_that_the_made_up_cloud_leaves_out_is_caught() -> None:
    def program() -> None:
        queue = aws.sqs.Queue("queue")
        aws.lb.LoadBalancer(
            "alb", access_logs=aws.lb.LoadBalancerAccessLogsArgs(bucket=queue.fifo_throughput_limit, enabled=True)
        )

    with pytest.raises(mock_run.Rejected, match=r"accessLogs: bucket is null; give the output"):
        run(program)


def test_secrets_are_unwrapped_and_named() -> None:
    def program() -> None:
        secret = pulumi.Output.secret("hidden")
        aws.secretsmanager.SecretVersion("version", secret_id="arn", secret_string=secret)

    version = run(program).one("SecretVersion")
    assert version.inputs["secretString"] == "hidden"
    assert version.secret_inputs == {"secretString"}


def test_options_are_recorded() -> None:
    def program() -> None:
        first = aws.sqs.Queue("first")
        aws.sqs.Queue(
            "second",
            redrive_policy=first.arn,
            opts=pulumi.ResourceOptions(
                protect=True,
                ignore_changes=["name"],
                retain_on_delete=True,
                import_="an-id",
                custom_timeouts=pulumi.CustomTimeouts(create="1m"),
            ),
        )

    graph = run(program)
    second = graph.one("Queue", "second")
    assert second.depends_on == (graph.one("Queue", "first").urn,)
    assert (second.protect, second.retain_on_delete, second.import_id) == (True, True, "an-id")
    assert second.ignore_changes == ("name",)
    assert second.timeouts == {"create": "1m"}


def test_what_the_program_says_to_people_is_collected() -> None:
    assert run(lambda: pulumi.log.warn("look here")).warnings == ("look here",)


def test_a_failing_program_fails_the_run_and_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    def program() -> None:
        aws.sqs.Queue("queue")
        raise RuntimeError("no")

    before = threading.active_count()
    with caplog.at_level(logging.ERROR), pytest.raises(RuntimeError, match="no"):
        run(program)
    assert threading.active_count() == before
    assert [each.name for each in run(lambda: aws.sqs.Queue("other")).of("Queue")] == ["other"]


def test_an_unknown_stack_is_named_with_those_there_are() -> None:
    with pytest.raises(FileNotFoundError, match="got stack 'staging'; allowed: dev, prod"):
        mock_run.run("staging")


def test_without_its_key_the_canary_is_left_out_with_a_warning() -> None:
    secrets: dict[Secret, str] = {key: text for key, text in mock_run.MADE_UP.items() if key is not Secret.CANARY_KEY}
    graph = mock_run.run("prod", secrets=secrets)
    assert "canary" not in [each.name for each in graph.of("Service")]
    assert graph.warnings == ("canary is left out: set canaryKey once the platform runs (docs/deploy.md)",)


def test_an_adopted_name_that_no_resource_has_is_an_error_that_lists_them() -> None:
    values = {**stack_file.read("dev"), "adopt": {"databse": "aldea-staging"}}
    with pytest.raises(ConfigError, match=r"got databse, .*allowed: .*database.*redis.*usage-queue"):
        mock_run.run("dev", values=values)


def test_adopted_resources_are_imported_by_their_cloud_id() -> None:
    adopted = {
        "database": "aldea-prod",
        "redis": "prod-ws-proxy",
        "accelerator": "arn:aws:globalaccelerator::111122223333:accelerator/abc",
        "usage-queue": "https://sqs.us-west-2.amazonaws.com/111122223333/usage-updates-queue",
        "ws-proxy-repository": "prod-ws-proxy-ws-proxy",
        "secret-redis-auth-token": "redis-auth-token",
        "cluster": "prod-ws-proxy",
        "redis-subnets": "old-redis",
        "database-subnets": "old-database",
        "service-ws-proxy-live1": "prod-ws-proxy/ws-proxy-live1",
        "log-ws-proxy-live1": "/ecs/prod-ws-proxy/ws-proxy-live1",
        "alias-api.aldea.ai": "Z0123456789ABCDEFGHIJ_api.aldea.ai_A",
    }
    graph = mock_run.run("prod", values={**stack_file.read("prod"), "adopt": adopted})
    assert sorted(each.import_id for each in graph.resources if each.import_id) == sorted(adopted.values())


EXISTING = {
    "vpcId": "vpc-0a1b2c",
    "publicSubnets": ["subnet-0a", "subnet-0b"],
    "privateSubnets": ["subnet-1a", "subnet-1b"],
    "isolatedSubnets": ["subnet-2a", "subnet-2b"],
    "natAddresses": ["198.51.100.7"],
}


def test_a_network_that_exists_is_used_as_it_is() -> None:
    values = stack_file.read("prod")
    graph = mock_run.run("prod", values={**values, "network": {**values["network"], "existing": EXISTING}})
    for kind in ("Vpc", "Eip", "VpcEndpoint", "FlowLog"):
        assert not graph.of(kind)
    assert graph.one("LoadBalancer").inputs["subnets"] == EXISTING["privateSubnets"]
    assert {each.inputs["vpcId"] for each in graph.of("SecurityGroup")} == {"vpc-0a1b2c"}
    for service in graph.of("aws:ecs/service:Service"):
        assert service.inputs["networkConfiguration"]["subnets"] == EXISTING["privateSubnets"]
    for group in graph.of("SubnetGroup"):
        assert group.inputs["subnetIds"] == EXISTING["isolatedSubnets"]
    assert graph.one("aws:wafv2/ipSet:IpSet", "nat").inputs["addresses"] == ["198.51.100.7/32"]
    assert graph.outputs["natAddresses"] == ["198.51.100.7"]
