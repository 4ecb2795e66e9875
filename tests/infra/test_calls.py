"""The provider's calls as IAM's actions, and a role that may not make one of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aldea_infra.offline.graph import Graph
from aldea_infra.rehearsal import calls, engine
from aldea_infra.rehearse import Rehearsal

LOG = """2026-11-30T11:21:40.1Z [DEBUG] HTTP Request Sent: rpc.service=ECS tf_aws.sdk=v2 rpc.method=CreateCluster
2026-11-30T11:21:40.2Z [DEBUG] HTTP Response: rpc.method=DescribeTags rpc.service="Elastic Load Balancing v2"
2026-11-30T11:21:40.3Z [DEBUG] HTTP Request Sent: rpc.service=S3 rpc.method=HeadBucket
2026-11-30T11:21:40.4Z [DEBUG] HTTP Request Sent: rpc.service="Secrets Manager" rpc.method=GetSecretValue
2026-11-30T11:21:40.5Z [DEBUG] provider: configuring server automatic mTLS
"""


def test_calls_are_named_as_iam_names_them(tmp_path: Path) -> None:
    log = tmp_path / "provider.log"
    log.write_text(LOG)
    assert calls.called(log) == {
        "ecs:CreateCluster", "elasticloadbalancing:DescribeTags", "s3:ListBucket", "secretsmanager:GetSecretValue",
    }  # fmt: skip


def test_what_no_statement_allows_is_refused() -> None:
    statements = [
        {"Effect": "Allow", "Action": ["ecs:*", "s3:Get*"]},
        {"Effect": "Deny", "Action": ["sqs:CreateQueue"]},
    ]
    actions = ("ecs:CreateCluster", "s3:getBucketAcl", "s3:ListBucket", "sqs:CreateQueue")
    assert list(calls.refused(actions, statements)) == ["s3:ListBucket", "sqs:CreateQueue"]


# What AWS's provider calls to read some of the stack's resources again; `make rehearse` finds all of it.
READ_AGAIN = (
    "s3:ListBucket", "s3:GetBucketCORS", "s3:GetReplicationConfiguration", "ec2:DescribeNetworkAcls",
    "wafv2:GetIPSet", "elasticache:DescribeUsers", "kms:GetKeyRotationStatus", "servicediscovery:GetNamespace",
)  # fmt: skip


def test_the_preview_role_may_read_what_drift_is_looked_for_in_and_no_secret(graph: Graph) -> None:
    held = graph.one("aws:iam/rolePolicy:RolePolicy", "ci-preview").json("policy")["Statement"]
    assert list(calls.refused((*READ_AGAIN, *calls.NOT_LOOKED_AT), held)) == ["secretsmanager:GetSecretValue"]


class Logs:
    """A terraform that only writes a log."""

    def __init__(self, folder: Path, called: str) -> None:
        self._path, self._called = folder / "provider.log", called

    @contextmanager
    def logged(self) -> Iterator[Path]:
        yield self._path

    def refresh(self) -> None:
        self._path.write_text(self._called)


def test_only_what_is_to_be_read_is_logged(tmp_path: Path) -> None:
    terraform = engine.Terraform(tmp_path)
    with terraform.logged() as log:
        assert terraform._environment["TF_LOG_PATH"] == str(log)
    assert "TF_LOG_PATH" not in terraform._environment


@pytest.mark.parametrize("method", ["DescribeClusters", "DeleteCluster"])
def test_a_rehearsal_fails_at_a_call_that_its_role_may_not_make(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.Terraform, "prepare", lambda _: {})
    rehearsal = Rehearsal("dev", tmp_path, "http://127.0.0.1:9")
    rehearsal._engine = Logs(tmp_path, f"rpc.service=ECS rpc.method={method}")  # type: ignore[assignment]
    if method == "DescribeClusters":
        assert rehearsal.refresh() == 1
    else:
        with pytest.raises(engine.Refused, match="ci-preview may not call ecs:DeleteCluster"):
            rehearsal.refresh()
