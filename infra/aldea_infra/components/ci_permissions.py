"""What GitHub's two roles may do, and the boundary that neither they nor a role they make can cross.

One account may hold several stacks. What a deployment changes is therefore held to its own stack: by names where AWS
lets us choose them, by the tag `Cluster` (the provider's default tags set it) where it does not. The boundary refuses
whatever carries another stack's tag, also to the services' roles that a deployment makes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import pulumi

from aldea_infra.catalogue import Image
from aldea_infra.components import iam, secret_store
from aldea_infra.components.ci_reads import BUCKET_READS, PREVIEW_READS
from aldea_infra.components.naming import Names
from aldea_infra.components.tags import CLUSTER_TAG
from aldea_infra.components.task_environment import DATABASE_USERS
from aldea_infra.config.parse import StackConfig

ISSUER: Final = "token.actions.githubusercontent.com"
# Reads of a deployment, by control plane. None of these returns a secret's value, a message, or a log's lines.
READS: Final = {
    "acm": ("Describe*", "List*"),
    "application-autoscaling": ("Describe*", "List*"),
    "cloudwatch": ("Describe*", "Get*", "List*"),
    "ec2": ("Describe*", "Get*"),
    "ecs": ("Describe*", "List*"),
    "elasticache": ("Describe*", "List*"),
    "elasticloadbalancing": ("Describe*",),
    "globalaccelerator": ("Describe*", "List*"),
    "kms": ("Describe*", "Get*", "List*"),
    "logs": ("Describe*", "List*"),
    "rds": ("Describe*", "List*"),
    "route53": ("Get*", "List*"),
    "servicediscovery": ("Get*", "List*"),
    "sns": ("Get*", "List*"),
    "wafv2": ("Get*", "List*", "CheckCapacity"),
}
# Control planes whose resources have names of AWS's choosing: their tag says whose they are.
TAGGED: Final = (
    "acm", "application-autoscaling", "cloudwatch", "ec2", "elasticache", "elasticloadbalancing", "servicediscovery",
)  # fmt: skip
TAGGED_FOR_ALARMS: Final = ("kms", "sns")
# Control planes whose resources carry the stack's names, and services that hold data under them.
NAMED: Final = ("ecs", "logs", "rds", "wafv2", "globalaccelerator")
DATA_SERVICES: Final = ("secretsmanager:*", "sqs:*", "ecr:*", "s3:*")
# ECS's resources below a cluster's name; task definitions' families begin with it.
ECS_KINDS: Final = (("cluster", ""), ("service", "/*"), ("task", "/*"), ("task-definition", "-*"))
# Groups that Pulumi names after their logical name, and RDS's own default option group.
RDS_GROUPS: Final = ("subgrp:database-*", "pg:database-*", "og:default*")
# Calls that take neither a resource nor a tag (AWS's service authorization reference): deliveries of WAF's and the
# VPC's logs. Besides, a VPC's default security group is closed before it has a tag.
UNTAGGABLE: Final = (
    "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress", "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
)  # fmt: skip
# On the services' roles. Creating one, or giving it a policy, takes the boundary on top.
ROLE_READS: Final = (
    "iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole",
    "iam:ListRolePolicies", "iam:ListRoleTags",
)  # fmt: skip
ROLE_CHANGES: Final = (
    "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy",
    "iam:UpdateRole", "iam:UpdateRoleDescription",
)  # fmt: skip
BOUND_ACTIONS: Final = ("iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary")
# Whom a role may be handed to.
PASSED_TO: Final = ("ecs-tasks.amazonaws.com", "vpc-flow-logs.amazonaws.com")
BOUNDARY_READS: Final = (
    "iam:GetOpenIDConnectProvider", "iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListPolicyVersions",
)  # fmt: skip
# The zone stays: it is older than the platform, and others live in it.
NEVER: Final = (
    "route53:DeleteHostedZone", "route53:CreateHostedZone", "ec2:AcceptVpcPeeringConnection",
    "ec2:CreateVpcPeeringConnection", "ec2:RunInstances", "ecs:ExecuteCommand", "rds:ModifyDBSnapshotAttribute",
)  # fmt: skip
# RDS's own names for the secrets of master passwords.
MASTER_SECRETS: Final = "secret:rds!*"
# Regions that global services (IAM, Route53, Global Accelerator, CloudFront's certificates) respond from.
GLOBAL_REGIONS: Final = ("us-east-1", "us-west-2")


@dataclass(frozen=True, slots=True)
class CiPermissions:
    """The statements of one stack's roles. `zone_id`: of the Route53 zone of the public names."""

    config: StackConfig
    names: Names
    zone_id: pulumi.Input[str]

    def preview(self) -> list[iam.Statement]:
        """Metadata of the account's resources, and this stack's own state."""
        return [
            iam.Statement(PREVIEW_READS, ["*"], sid="Reads"),
            iam.Statement(BUCKET_READS, [f"arn:aws:s3:::{self.names.access_logs}*"], sid="AccessLogs"),
            *self._state(write=False),
        ]

    def deploy(self) -> list[iam.Statement]:
        """What `pulumi up` calls."""
        return [
            iam.Statement(list(self._reads()), ["*"], sid="Reads"),
            *self._control_planes(),
            *self._data(),
            *self._roles(),
            *self._state(write=True),
        ]

    def boundary(self) -> list[iam.Statement]:
        """All that a deployment needs, all that a service's role is given, and what is refused whatever else allows.

        As short as it can be: a managed policy has 6,144 characters. Names are therefore in any region and account (a
        foreign account would have to allow it as well), and there are no names of statements.
        """
        regions = sorted({self.config.stack.region, *GLOBAL_REGIONS})
        elsewhere = {"StringNotEquals": {"aws:RequestedRegion": regions}}
        tag = f"aws:ResourceTag/{CLUSTER_TAG}"
        foreign = {"StringNotEquals": {tag: self.names.cluster}, "Null": {tag: "false"}}
        # Secrets of master passwords have names of RDS's choosing; RDS tags each with its instance.
        owner = "aws:ResourceTag/aws:rds:primaryDBInstanceArn"
        others = {
            "StringNotEquals": {owner: self._arn("rds", f"db:{self.config.database.id}")},
            "Null": {owner: "false"},
        }
        named = [f"{service}:*" for service in self._named_services()]
        arns = [*self._named(), *self._data_names(), self._arn("secretsmanager", MASTER_SECRETS)]
        # By name, in any database: its id is not in here, since a restored one has another and only an administrator
        # may change the boundary. The tasks' own policies have it, and its security group admits this stack's alone.
        arns += [self._arn("rds-db", f"dbuser:*/{user}") for user in DATABASE_USERS.values()]
        allowed = [
            iam.Statement([*self._reads(), "iam:Get*", "iam:List*", *UNTAGGABLE], ["*"]),
            *self._tagged(),
            iam.Statement([*named, "cloudwatch:*", *DATA_SERVICES, "rds-db:*"], list(map(_anywhere, arns))),
            self._records(),
            *self._role_changes(),
            *self._state(write=True),
        ]
        return [
            *(replace(statement, sid="") for statement in allowed),
            iam.Statement(["*"], ["*"], effect="Deny", conditions=foreign),
            iam.Statement(["secretsmanager:*"], ["*"], effect="Deny", conditions=others),
            iam.Statement(NEVER, ["*"], effect="Deny"),
            iam.Statement(["ec2:*", "ecs:*", "rds:*"], ["*"], effect="Deny", conditions=elsewhere),
        ]

    def _services(self) -> list[str]:
        """The control planes that this stack has something in."""
        absent = set()
        if not self.config.edge.accelerator:
            absent.add("globalaccelerator")
        if self.config.edge.waf is None:
            absent.add("wafv2")
        if not self.config.alarms.enabled:
            absent |= set(TAGGED_FOR_ALARMS)
        return [service for service in READS if service not in absent]

    def _reads(self) -> Iterator[str]:
        yield "sts:GetCallerIdentity"
        yield "ecr:GetAuthorizationToken"
        for service in self._services():
            yield from (f"{service}:{verb}" for verb in READS[service])

    def _control_planes(self) -> list[iam.Statement]:
        return [
            *self._tagged(),
            iam.Statement(
                [*(f"{service}:*" for service in self._named_services()), "cloudwatch:*Dashboard*"],
                list(self._named()),
                sid="Named",
            ),
            iam.Statement(UNTAGGABLE, ["*"], sid="Untaggable"),
            self._records(),
        ]

    def _tagged(self) -> list[iam.Statement]:
        """What has the stack's tag, or is given it as it is made. ECS makes two kinds by tag alone."""
        present = self._services()
        tagged = [f"{service}:*" for service in (*TAGGED, *TAGGED_FOR_ALARMS) if service in present]
        own, made = (
            {"StringEquals": {f"aws:{kind}/{CLUSTER_TAG}": self.names.cluster}}
            for kind in ("ResourceTag", "RequestTag")
        )
        made_by_ecs = ("ecs:CreateCluster", "ecs:RegisterTaskDefinition")
        return [
            iam.Statement(tagged, ["*"], conditions=own, sid="Own"),
            iam.Statement([*tagged, *made_by_ecs], ["*"], conditions=made, sid="Make"),
        ]

    def _records(self) -> iam.Statement:
        """The public names, and the records that prove them to the certificate authority, in the zone of others too."""
        hosts = self.config.hosts.names()
        names = [*hosts, *(f"_*.{host}" for host in hosts)]
        return iam.Statement(
            ["route53:ChangeResourceRecordSets"],
            [pulumi.Output.concat("arn:aws:route53:::hostedzone/", self.zone_id)],
            conditions={"ForAllValues:StringLike": {"route53:ChangeResourceRecordSetsNormalizedRecordNames": names}},
            sid="Records",
        )

    def _named_services(self) -> list[str]:
        present = self._services()
        return [service for service in NAMED if service in present]

    def _named(self) -> Iterator[str]:
        """What carries this stack's names. Groups of RDS, rules of WAF and accelerators have none; tags guard those."""
        cluster, database, present = self.names.cluster, self.config.database.id, self._services()
        yield from (self._arn("ecs", f"{kind}/{cluster}{rest}") for kind, rest in ECS_KINDS)
        yield from (self._arn("logs", f"log-group:{name}*") for name in self.names.log_groups(database))
        yield from (self._arn("rds", name) for name in (f"db:{database}", f"snapshot:{database}-*", *RDS_GROUPS))
        yield f"arn:aws:cloudwatch::{self.config.stack.account_id}:dashboard/{cluster}"
        if "wafv2" in present:
            yield self._arn("wafv2", "regional/*")
            yield f"arn:aws:wafv2:{self.config.stack.region}:*:regional/managedruleset/*"
            yield self._arn("elasticloadbalancing", "loadbalancer/app/*")
        if "globalaccelerator" in present:
            yield f"arn:aws:globalaccelerator::{self.config.stack.account_id}:accelerator*"

    def _data_names(self) -> Iterator[str]:
        """What holds data, in short."""
        names = self.names
        yield from (self._arn("secretsmanager", f"secret:{names.prefixed(name)}-*") for name in secret_store.NAMES)
        yield self._arn("sqs", f"{names.prefixed(self.config.queue.name)}*")
        yield self._arn("ecr", f"repository/{names.cluster}-*")
        yield f"arn:aws:s3:::{names.access_logs}*"

    def _state(self, *, write: bool) -> list[iam.Statement]:
        """This stack's part of the bucket of Pulumi's state, and its own key, for what that key encrypted for it."""
        github, stack = self.config.github, self.config.stack.environment
        statements = []
        if github.state_bucket is not None:
            bucket = f"arn:aws:s3:::{github.state_bucket}"
            objects = ["s3:GetObject", *(["s3:PutObject", "s3:DeleteObject"] if write else [])]
            below = {"StringLike": {"s3:prefix": [stack, f"{stack}/*"]}}
            statements += [
                iam.Statement(["s3:ListBucket"], [bucket], conditions=below, sid="StateBucket"),
                iam.Statement(objects, [f"{bucket}/{stack}/*"], sid="State"),
            ]
        if github.state_key_arn is not None:
            actions = ["kms:Decrypt", *(["kms:Encrypt", "kms:GenerateDataKey"] if write else [])]
            ours = {"StringEquals": {"kms:EncryptionContext:stack": stack}}
            statements.append(iam.Statement(actions, [github.state_key_arn], conditions=ours, sid="StateKey"))
        return statements

    def _data(self) -> list[iam.Statement]:
        """Services that hold data, restricted to this stack's names."""
        names = self.names
        secrets = [self._arn("secretsmanager", f"secret:{names.prefixed(name)}-*") for name in secret_store.NAMES]
        queue = names.prefixed(self.config.queue.name)
        queues = [self._arn("sqs", queue), self._arn("sqs", f"{queue}-dlq")]
        repositories = [self._arn("ecr", f"repository/{names.repository(image)}") for image in Image]
        return [
            iam.Statement(["secretsmanager:*"], secrets, sid="Secrets"),
            # RDS makes the master password's secret, in the caller's name, under a name of its own.
            iam.Statement(
                ["secretsmanager:CreateSecret", "secretsmanager:DescribeSecret", "secretsmanager:TagResource"],
                [self._arn("secretsmanager", MASTER_SECRETS)],
                sid="MasterSecret",
            ),
            iam.Statement(["sqs:*"], queues, sid="Queues"),
            iam.Statement(["ecr:*"], repositories, sid="Images"),
            iam.Statement(["s3:*"], [f"arn:aws:s3:::{names.access_logs}*"], sid="AccessLogs"),
        ]

    def _roles(self) -> list[iam.Statement]:
        account = f"arn:aws:iam::{self.config.stack.account_id}"
        return [
            iam.Statement(ROLE_READS, [self._own_roles()], sid="OwnRoles"),
            *self._role_changes(),
            iam.Statement(
                [*ROLE_READS, *BOUNDARY_READS],
                [f"{account}:role{self.names.ci_path}*", self._boundary_arn(), f"{account}:oidc-provider/{ISSUER}"],
                sid="LookAtOurselves",
            ),
        ]

    def _role_changes(self) -> list[iam.Statement]:
        """The services' roles, never without the boundary; never the roles and the boundary themselves."""
        linked = f"arn:aws:iam::{self.config.stack.account_id}:role/aws-service-role/*"
        bound = {"StringEquals": {"iam:PermissionsBoundary": self._boundary_arn()}}
        passed = {"StringEquals": {"iam:PassedToService": list(PASSED_TO)}}
        return [
            iam.Statement(ROLE_CHANGES, [self._own_roles()], sid="ChangeRoles"),
            iam.Statement(BOUND_ACTIONS, [self._own_roles()], conditions=bound, sid="OnlyBoundRoles"),
            iam.Statement(["iam:PassRole"], [self._own_roles()], conditions=passed, sid="HandOver"),
            iam.Statement(["iam:CreateServiceLinkedRole"], [linked], sid="ServiceRoles"),
        ]

    def _own_roles(self) -> str:
        return f"arn:aws:iam::{self.config.stack.account_id}:role{self.names.iam_path}*"

    def _boundary_arn(self) -> str:
        return f"arn:aws:iam::{self.config.stack.account_id}:policy{self.names.ci_path}{self.names.boundary}"

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.config.stack.region}:{self.config.stack.account_id}:{resource}"


def _anywhere(arn: str) -> str:
    """An ARN's name in any region and account."""
    parts = arn.split(":", 5)
    return ":".join([*parts[:3], *("*" if part else "" for part in parts[3:5]), parts[5]])
