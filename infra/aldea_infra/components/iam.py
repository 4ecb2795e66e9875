"""IAM policy documents from typed statements, and the roles of AWS services that carry them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a policy."""

    actions: Sequence[str]
    resources: Sequence[pulumi.Input[str]] = ()  # none: a trust or resource policy that needs no list
    effect: Literal["Allow", "Deny"] = "Allow"
    principals: Mapping[str, pulumi.Input[str] | Sequence[pulumi.Input[str]]] | None = (
        None  # {"Service": …} or {"AWS": "*"}
    )
    conditions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sid: str = ""

    def as_json(self) -> dict[str, Any]:
        """The statement as IAM spells it; values may still be outputs."""
        document: dict[str, Any] = {"Effect": self.effect, "Action": list(self.actions)}
        if self.sid:
            document["Sid"] = self.sid
        if self.resources:
            document["Resource"] = list(self.resources)
        if self.principals is not None:
            document["Principal"] = dict(self.principals)
        if self.conditions:
            document["Condition"] = {operator: dict(keys) for operator, keys in self.conditions.items()}
        return document


def document(*statements: Statement) -> pulumi.Output[str]:
    """A policy document of these statements."""
    return pulumi.Output.json_dumps(
        {"Version": "2012-10-17", "Statement": [statement.as_json() for statement in statements]}
    )


@dataclass(frozen=True, slots=True)
class RoleFactory:
    """What every role for an AWS service shares: the stack's path, and the boundary without which none may exist."""

    account_id: str
    path: str
    boundary_arn: pulumi.Input[str]

    def make(
        self, name: str, service: str, description: str, statements: Sequence[Statement], parent: pulumi.Resource
    ) -> tuple[aws.iam.Role, list[pulumi.Resource]]:
        """A role that `service` takes on behalf of this account only (no confused deputy), and its inline policy."""
        opts = pulumi.ResourceOptions(parent=parent)
        trust = Statement(
            ["sts:AssumeRole"],
            principals={"Service": service},
            conditions={"StringEquals": {"aws:SourceAccount": self.account_id}},
        )
        role = aws.iam.Role(
            name,
            path=self.path,
            description=description,
            assume_role_policy=document(trust),
            permissions_boundary=self.boundary_arn,
            opts=opts,
        )
        if not statements:
            return role, []
        return role, [aws.iam.RolePolicy(name, role=role.id, policy=document(*statements), opts=opts)]


def tls_only(arn: pulumi.Input[str], actions: str) -> Statement:
    """A resource policy's statement that refuses plain HTTP; `actions` such as "s3:*"."""
    return Statement(
        [actions],
        [arn, pulumi.Output.concat(arn, "/*")] if actions.startswith("s3:") else [arn],
        effect="Deny",
        principals={"AWS": "*"},
        conditions={"Bool": {"aws:SecureTransport": "false"}},
        sid="TlsOnly",
    )
