"""The stack configuration: every fault in one message that says what was got, what is allowed, what to do."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aldea_infra.config import parse as c
from aldea_infra.config import stack_file
from aldea_infra.offline.mock_run import MADE_UP

Change = Callable[[dict[str, Any]], object]


def values(*changes: Change) -> dict[str, Any]:
    found = copy.deepcopy(stack_file.read("prod"))
    for change in changes:
        change(found)
    return found


def fault(*changes: Change) -> str:
    with pytest.raises(c.ConfigError) as caught:
        c.parse(values(*changes), MADE_UP)
    return str(caught.value)


@pytest.mark.parametrize("stack", ["prod", "dev"])
def test_the_real_stack_files_are_good(stack: str) -> None:
    config = c.parse(stack_file.read(stack), MADE_UP)
    assert config.stack.environment == stack


def test_secrets_that_pulumi_wrote_into_a_stack_file_are_left_to_pulumi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = (Path(__file__).parents[2] / "Pulumi.dev.yaml").read_text()
    # As `pulumi config set --secret` leaves the file.
    written += "  aldea-asr-platform:redisAuthToken:\n    secure: v1:abc:def\nencryptionsalt: v1:xyz\n"
    (tmp_path / "Pulumi.dev.yaml").write_text(written)
    monkeypatch.setattr(stack_file, "ROOT", tmp_path)
    found = stack_file.read("dev")
    assert "redisAuthToken" not in found
    assert c.parse(found, MADE_UP).stack.environment == "dev"


def test_the_stacks_keep_apart_in_one_account() -> None:
    prod, dev = (c.parse(stack_file.read(name), MADE_UP) for name in ("prod", "dev"))
    assert prod.stack.cluster != dev.stack.cluster
    assert (prod.stack.name_prefix, dev.stack.name_prefix) == ("", "dev-")
    assert not set(prod.hosts.names()) & set(dev.hosts.names())
    assert prod.network.cidr != dev.network.cidr


REPOSITORIES = [
    ("aldea-ai/asr-platform", True),
    ("aldea-ai@12345/asr-platform@678901", True),
    ("aldea-ai@12345/asr-platform", False),
    ("aldea-ai/asr-platform@678901", False),
    ("aldea-ai@x/asr-platform@678901", False),
    ("aldea-ai@/asr-platform@", False),
    ("asr-platform", False),
    ("aldea-ai/*", False),
]


@pytest.mark.parametrize(("repository", "good"), REPOSITORIES)
def test_a_repository_is_named_with_both_its_numbers_or_without(repository: str, good: bool) -> None:
    def named(found: dict[str, Any]) -> None:
        found["github"]["repository"] = repository

    if good:
        assert c.parse(values(named), MADE_UP).github.repository == repository
    else:
        assert "docs/deploy.md says which" in fault(named)


def test_a_server_across_the_internet_is_reached_by_https_only() -> None:
    def public(found: dict[str, Any]) -> None:
        found["lanes"]["live1"].pop("private")

    def encrypted(found: dict[str, Any]) -> None:
        public(found)
        found["lanes"]["live1"]["scheme"] = "https"

    assert "got scheme http for stt-api-live-1.aldea.ai; allowed: https, or http with private: true" in fault(public)
    assert c.parse(values(encrypted), MADE_UP).upstreams("live1")[0] == "https://stt-api-live-1.aldea.ai:8800"


def test_all_faults_of_fields_and_secrets_come_in_one_message() -> None:
    def several(found: dict[str, Any]) -> None:
        found["stack"]["accountId"] = "12"
        found["network"]["zones"] = 7
        found["lanes"]["live1"]["weight"] = -1
        found["redis"]["colour"] = "red"
        del found["hosts"]["zone"]

    with pytest.raises(c.ConfigError) as caught:
        c.parse(values(several), {**MADE_UP, c.Secret.REDIS_AUTH_TOKEN: "short"})
    text = str(caught.value)
    for expected in (
        "stack.accountId: got '12' (",
        "allowed: the AWS account's twelve digits, in quotes",
        "network.zones: got 7 (",
        "allowed: 2 to 4 availability zones",
        "lanes.live1.weight: got -1 (",
        "redis.colour: got 'red' (Extra inputs are not permitted)",
        "hosts.zone: got nothing (",
        "redisAuthToken: got 5 characters that do not fit (not shown); allowed: 16 to 128 letters",
        "Correct Pulumi.<stack>.yaml and run again.",
    ):
        assert expected in text


def test_a_missing_secret_says_how_to_set_it() -> None:
    with pytest.raises(c.ConfigError, match="run: pulumi config set --secret sttUpstreamToken"):
        c.parse(values(), {**MADE_UP, c.Secret.STT_UPSTREAM_TOKEN: None})


def test_a_secret_is_never_quoted() -> None:
    with pytest.raises(c.ConfigError) as caught:
        c.parse(values(), {**MADE_UP, c.Secret.REDIS_AUTH_TOKEN: "p@ssw0rd-not-allowed"})
    assert "p@ssw0rd" not in str(caught.value)


def test_the_canary_key_may_come_later() -> None:
    assert c.parse(values(), {**MADE_UP, c.Secret.CANARY_KEY: None})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["services"]["imp-backend"].update(cpu=300), "got cpu 300; allowed: 256, 512, 1024, 2048, 4096"),
        (
            lambda v: v["services"]["imp-backend"].update(memory=512),
            "got memory 512 with cpu 1024; allowed: 2048, 3072",
        ),
        (lambda v: v["services"]["imp-backend"].update(minTasks=9), "got minTasks 9 above maxTasks 6"),
        (lambda v: v["services"]["ws-proxy-live1"].pop("lane"), "got lane None; the role ws-proxy needs lane"),
        (
            lambda v: v["services"]["imp-backend"].update(lane="live1"),
            "got lane 'live1'; the role backend takes no lane",
        ),
        (
            lambda v: v["services"]["ws-proxy-live1"].update(scaleInCooldownSeconds=60),
            "got scaleInCooldownSeconds 60, below the drain of 900 s",
        ),
        (lambda v: v["services"]["ws-proxy-live1"].update(lane="live9"), "got 'live9'; allowed: live1, live2"),
        (lambda v: v["services"]["ws-proxy-live1"].update(lane="live2"), "two of one role share a lane"),
        (lambda v: v["services"].pop("sqs-updater"), "got 0 with role sqs-updater; allowed: exactly one"),
        (
            lambda v: [lane.update(weight=0) for lane in v["lanes"].values()],
            "every weight is 0, so no stream would be served",
        ),
        (lambda v: v["hosts"].update(api="api.example.com"), "allowed: three different names that end in .aldea.ai"),
        (lambda v: v["network"].update(cidr="10.0.0.0/24"), "allowed: a private IPv4 network of /16 to /20"),
        (lambda v: v["edge"]["waf"].update(allowlist=["2001:db8::/32"]), "allowed: IPv4 networks"),
        (
            lambda v: v["network"].update(existing={"vpcId": "10.0.0.0/16"}),
            "network.existing.vpcId: got '10.0.0.0/16' (",
        ),
        (lambda v: v["database"].update(maxStorageGb=50), "maxStorageGb is below storageGb"),
        (lambda v: v["queue"].update(maxReceiveCount=3), "50 to 1000: an outage must not fill the DLQ"),
        (lambda v: v["services"].update({"x" * 40: v["services"]["imp-backend"]}), "services.xxxx"),
        (lambda v: v.update(images={"ws-proxy": "latest"}), "allowed: by image, sha256: and 64 hexadecimal digits"),
    ],
)
def test_a_fault_says_what_was_got_and_what_is_allowed(change: Change, message: str) -> None:
    assert message in fault(change)


def test_each_lane_falls_back_to_the_other() -> None:
    config = c.parse(values(), MADE_UP)
    one, two = "http://stt-api-live-1.aldea.ai:8800", "http://stt-api-live-2.aldea.ai:8800"
    assert config.upstreams("live1") == (one, two)
    assert config.upstreams("live2") == (two, one)


def test_a_lane_that_is_switched_off_takes_no_fallback() -> None:
    config = c.parse(values(lambda v: v["lanes"]["live2"].update(weight=0)), MADE_UP)
    assert config.upstreams("live1") == ("http://stt-api-live-1.aldea.ai:8800",)
    assert len(config.upstreams("live2")) == 2
