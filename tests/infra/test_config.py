"""The stack configuration: every fault in one message that says what was got, what is allowed, what to do."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aldea.settings import ServiceSettings
from aldea_infra.config import mail, stack_file
from aldea_infra.config import parse as c
from aldea_infra.offline.mock_run import MADE_UP
from backend.alerts.mail import MailUrl
from backend.settings import BackendSettings
from frontend.settings import FrontendSettings

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


MAILS = [
    # (mailUrl, the port to open; None: refused)
    ("smtps://user:password@mail.example.com:465", 465),
    ("smtps://user:password@mail.example.com", 465),
    ("smtp://user:password@mail.example.com", 587),
    ("smtp://user:password@mail.example.com:2587", 2587),
    ("smtps://user%40example.com:p%2Fa%25b+c=@email-smtp.us-west-2.amazonaws.com:2465", 2465),
    ("smtp://relay.internal:2525", 2525),
    ("", None),
    ("mail.example.com", None),
    ("https://user:password@mail.example.com", None),
    ("file:/tmp/mail", None),
    ("SMTPS://user:password@mail.example.com", None),
    ("smtps://user:password@mail.example.com:25", None),
    ("smtps://user:password@mail.example.com:0", None),
    ("smtps://user:password@mail.example.com:46500", None),
    ("smtps://user:password@", None),
    ("smtps://user@mail.example.com", None),
    ("smtps://user:pass/word@mail.example.com:465", None),
    ("smtps://user:pass@word@mail.example.com:465", None),
    ("smtps://user:pass#word@mail.example.com:465", None),
    ("smtps://user:pass%word@mail.example.com:465", None),
    ("smtps://user:password%0A@mail.example.com:465", None),
    ("smtps://user:password%7f@mail.example.com:465", None),
    ("smtps://user:password@mail.example.com:465\n", None),
    ("smtps://user:password@mail.example.com\r\nX: y", None),
    ("smtps://user:password@mail.example.com/path", None),
    ("smtps://user:password@mail.example.com?x=y", None),
    (" smtps://user:password@mail.example.com", None),
    ("smtps://user:password@ma\u0131l.example.com", None),
]


@pytest.mark.parametrize(("url", "port"), MAILS)
def test_a_mail_url_is_one_that_the_backend_reads_alike(url: str, port: int | None) -> None:
    secrets = {**MADE_UP, c.Secret.MAIL_URL: url}
    if port is None:
        with pytest.raises(c.ConfigError, match=r"mailUrl: got \d+ characters that do not fit") as caught:
            c.parse(values(), secrets)
        assert "allowed: smtps://USER:PASSWORD@HOST:465, or smtp://" in str(caught.value)
        assert "word" not in str(caught.value)  # nothing of it is quoted
        with pytest.raises(ValueError, match="mailUrl does not fit"):
            mail.port(url)
        return
    assert c.parse(values(), secrets)
    assert mail.port(url) == port
    read = MailUrl.of(url)
    assert (read.scheme, read.port) == (url.partition(":")[0], port)
    assert read.host == urlsplit(url).hostname


def test_mail_and_the_consoles_links_may_be_left_out() -> None:
    def without(found: dict[str, Any]) -> None:
        found.pop("mail", None)
        found.pop("console", None)

    config = c.parse(values(without), {**MADE_UP, c.Secret.MAIL_URL: None})
    assert config.mail.sender is None
    assert (config.console.support_address, config.console.status_url) == (None, None)


# By setting: what is allowed, then what is not.
TEXTS: dict[tuple[str, str], tuple[list[str], list[object]]] = {
    ("mail", "from"): (
        ["Aldea <no-reply@aldea.ai>", "no-reply@aldea.ai", "Société d'Audio & Co. <a.b+c@mail.example.com>"],
        [
            "", "Aldea", "Aldea <no-reply>", "Aldea no-reply@aldea.ai", "@aldea.ai", "a@b", "a@b@c.example",
            "Aldea\r\nBcc: x@y.example <a@b.example>", "Aldea <a@b.example>\nBcc: x@y.example", "a@b.example\n",
            "Aldea, Inc. <a@b.example>", "A <a@b.example>, B <b@b.example>", '"A" <a@b.example>',
            "Aldea\0 <a@b.example>",
            "Aldea \u202eaedlA <a@b.example>", "Aldea\u2028 <a@b.example>", "a" * 245 + "@b.example", 5,
        ],
    ),
    ("console", "supportAddress"): (
        ["help@example.com", "https://support.example.com", "https://example.com:8443/help?from=console#top"],
        [
            "", "support", "help@localhost", "http://support.example.com", "javascript:alert(1)", "https://", "/help",
            "help@example.com?bcc=x@example.com", "help@example.com\n", "mailto:help@example.com", "a b@example.com",
            'https://example.com/"onclick="x', "https://example.com/<b>", "https://user:pass@example.com/",
            "https://example.com/\r\nx", "https://example.com/" + "x" * 300, ["help@example.com"],
        ],
    ),
    ("console", "traceUrl"): (
        ["https://traces.example.com/trace/{trace_id}", "https://example.com:3000/explore?left={trace_id}&orgId=1"],
        [
            "", "https://traces.example.com/", "https://traces.example.com/{id}", "http://x.example/{trace_id}",
            "javascript:alert({trace_id})", "https://x.example/{trace_id}{x}", 'https://x.example/"{trace_id}',
            "https://u:p@x.example/{trace_id}", "https://x.example/" + "x" * 300 + "{trace_id}", 7,
        ],
    ),
    ("traces", "endpoint"): (
        ["http://collector:4318", "https://otlp.example.com:443"],
        [
            "", "collector:4318", "http://collector", "http://collector:0", "http://collector:65536",
            "grpc://collector:4317", "http://u:p@collector:4318", "http://collector:4318/v1/traces",
            "http://collector:4318\n", 4318,
        ],
    ),
    ("console", "statusUrl"): (
        ["https://status.example.com", "https://example.com/status", "/status", "/"],
        [
            "", "status", "http://status.example.com", "//evil.example", "/\\evil.example", "javascript:alert(1)",
            "data:text/html,x", "status@example.com", "/sta tus", "/status\n", "https://", "/" + "x" * 300, 7,
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("place", "text"), [(place, text) for place, (good, _) in TEXTS.items() for text in good], ids=repr
)
def test_a_mails_sender_and_a_link_fit_the_service_that_reads_them(place: tuple[str, str], text: str) -> None:
    def given(found: dict[str, Any]) -> None:
        found[place[0]] = {place[1]: text}

    config = c.parse(values(given), MADE_UP)
    read: dict[tuple[str, str], tuple[str | None, type[ServiceSettings], str]] = {
        ("mail", "from"): (config.mail.sender, BackendSettings, "mail_from"),
        ("console", "supportAddress"): (config.console.support_address, FrontendSettings, "support_address"),
        ("console", "statusUrl"): (config.console.status_url, FrontendSettings, "status_url"),
        ("console", "traceUrl"): (config.console.trace_url, FrontendSettings, "trace_url"),
        ("traces", "endpoint"): (config.traces.endpoint, BackendSettings, "otel_exporter_otlp_endpoint"),
    }
    value, settings, name = read[place]
    assert value == text
    # By the service's own rules for this one setting.
    settings.__pydantic_validator__.validate_assignment(settings.model_construct(), name, text)


@pytest.mark.parametrize(
    ("place", "text"), [(place, text) for place, (_, bad) in TEXTS.items() for text in bad], ids=repr
)
def test_a_mails_sender_or_a_link_that_does_not_fit_is_refused(place: tuple[str, str], text: object) -> None:
    def given(found: dict[str, Any]) -> None:
        found[place[0]] = {place[1]: text}

    said = fault(given)
    assert f"{place[0]}.{place[1]}: got {text!r} (" in said
    assert "; allowed: " in said
    assert "A-Z" not in said  # words, no pattern


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
