"""GitHub's two roles: preview (explicit reads) and deploy (within a permissions boundary), by OIDC, no stored keys.

Both, and the boundary, have a path of their own that the deploy role may not touch: changes to them are made by an
administrator. The services' roles may be made only with the boundary on them, so a deployment can give nobody more than
it has itself.
"""

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from aldea_infra import iam, secret_store
from aldea_infra.catalogue import Image
from aldea_infra.config import StackConfig
from aldea_infra.naming import Names

ISSUER: Final = "token.actions.githubusercontent.com"
AUDIENCE: Final = "sts.amazonaws.com"
# A deployment waits for drains.
SESSION_SECONDS: Final = 2 * 3600
# What a preview reads: the look-ups of the program, and the state of what it compares or imports. Nothing here returns
# a secret's value or a message's body, so `preview --refresh` is not for this role.
PREVIEW_READS: Final = (
    "acm:DescribeCertificate",
    "acm:ListTagsForCertificate",
    "application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:DescribeScalingPolicies",
    "application-autoscaling:ListTagsForResource",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetDashboard",
    "cloudwatch:ListTagsForResource",
    "ec2:DescribeAddresses",
    "ec2:DescribeAddressesAttribute",
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeFlowLogs",
    "ec2:DescribeInternetGateways",
    "ec2:DescribeNatGateways",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribePrefixLists",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroupRules",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcAttribute",
    "ec2:DescribeVpcEndpoints",
    "ec2:DescribeVpcs",
    "ecr:DescribeRepositories",
    "ecr:GetAuthorizationToken",
    "ecr:GetLifecyclePolicy",
    "ecr:ListTagsForResource",
    "ecs:DescribeClusters",
    "ecs:DescribeServices",
    "ecs:DescribeTaskDefinition",
    "ecs:ListTagsForResource",
    "elasticache:DescribeCacheClusters",
    "elasticache:DescribeCacheParameterGroups",
    "elasticache:DescribeCacheParameters",
    "elasticache:DescribeCacheSubnetGroups",
    "elasticache:DescribeReplicationGroups",
    "elasticache:ListTagsForResource",
    "elasticloadbalancing:DescribeListenerAttributes",
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancerAttributes",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeRules",
    "elasticloadbalancing:DescribeTags",
    "elasticloadbalancing:DescribeTargetGroupAttributes",
    "elasticloadbalancing:DescribeTargetGroups",
    "globalaccelerator:DescribeAccelerator",
    "globalaccelerator:DescribeAcceleratorAttributes",
    "globalaccelerator:DescribeEndpointGroup",
    "globalaccelerator:DescribeListener",
    "globalaccelerator:ListTagsForResource",
    "iam:GetOpenIDConnectProvider",
    "iam:GetPolicy",
    "iam:GetPolicyVersion",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:ListOpenIDConnectProviders",
    "iam:ListRolePolicies",
    "kms:DescribeKey",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListResourceTags",
    "logs:DescribeLogGroups",
    "logs:ListTagsForResource",
    "rds:DescribeDBInstances",
    "rds:DescribeDBParameterGroups",
    "rds:DescribeDBParameters",
    "rds:DescribeDBSubnetGroups",
    "rds:ListTagsForResource",
    "route53:GetHostedZone",
    "route53:ListHostedZones",
    "route53:ListHostedZonesByName",
    "route53:ListResourceRecordSets",
    "route53:ListTagsForResource",
    "s3:GetBucketLocation",
    "s3:GetBucketPolicy",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketTagging",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetResourcePolicy",
    "servicediscovery:GetNamespace",
    "servicediscovery:ListTagsForResource",
    "sns:GetSubscriptionAttributes",
    "sns:GetTopicAttributes",
    "sns:ListTagsForResource",
    "sqs:GetQueueAttributes",
    "sqs:ListQueueTags",
    "sts:GetCallerIdentity",
    "wafv2:GetIPSet",
    "wafv2:GetLoggingConfiguration",
    "wafv2:GetWebACL",
    "wafv2:GetWebACLForResource",
    "wafv2:ListTagsForResource",
)
# Control planes that take no useful resource restriction: what they make has names of AWS's choosing.
CONTROL_PLANES: Final = (
    "acm", "application-autoscaling", "cloudwatch", "ec2", "ecs", "elasticache", "elasticloadbalancing",
    "globalaccelerator", "kms", "logs", "rds", "route53", "servicediscovery", "sns", "wafv2",
)  # fmt: skip
# On the services' roles. Creating one, or giving it a policy, takes the boundary on top.
ROLE_ACTIONS: Final = (
    "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies",
    "iam:ListInstanceProfilesForRole", "iam:ListRolePolicies", "iam:ListRoleTags", "iam:TagRole", "iam:UntagRole",
    "iam:UpdateAssumeRolePolicy", "iam:UpdateRole", "iam:UpdateRoleDescription",
)  # fmt: skip
BOUND_ACTIONS: Final = ("iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary")
# Whom a role may be handed to.
PASSED_TO: Final = ("ecs-tasks.amazonaws.com", "vpc-flow-logs.amazonaws.com")
BOUNDARY_READS: Final = ("iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListPolicyVersions")
# The zone stays: it is older than the platform, and others live in it. State and other stacks' keys are not ours.
NEVER: Final = (
    "route53:DeleteHostedZone", "route53:CreateHostedZone", "ec2:AcceptVpcPeeringConnection",
    "ec2:CreateVpcPeeringConnection", "ec2:RunInstances", "ecs:ExecuteCommand", "rds:ModifyDBSnapshotAttribute",
)  # fmt: skip
# RDS's own names for the secrets of master passwords.
MASTER_SECRETS: Final = "secret:rds!*"
# Regions that global services (IAM, Route53, Global Accelerator, CloudFront's certificates) answer from.
GLOBAL_REGIONS: Final = ("us-east-1", "us-west-2")


@dataclass(frozen=True, slots=True)
class CiRolesArgs:
    """What the roles need to know."""

    config: StackConfig
    names: Names


class CiRoles(pulumi.ComponentResource):
    """The OIDC provider (or the account's existing one), the boundary, and the two roles."""

    def __init__(self, name: str, args: CiRolesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aldea:ci:CiRoles", name, None, opts)
        self._config, self._names, self._github = args.config, args.names, args.config.github
        self._account = args.config.stack.account_id
        self._boundary_name = f"arn:aws:iam::{self._account}:policy{args.names.ci_path}{args.names.boundary}"
        # In the account by now, or made here; the roles' trust names it, so it goes first.
        self._trusted: list[pulumi.Resource] = []
        if self._github.oidc == "create":
            self._trusted.append(
                aws.iam.OpenIdConnectProvider(
                    "github",
                    url=f"https://{ISSUER}",
                    client_id_lists=[AUDIENCE],
                    # The account has one for all its repositories; destroying this stack must not take it away.
                    opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
                )
            )
        boundary = aws.iam.Policy(
            "boundary",
            name=args.names.boundary,
            path=args.names.ci_path,
            description="The most that the deploy role, or a role it makes, can ever do",
            policy=iam.document(*self._boundary()),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.boundary_arn = boundary.arn
        preview = self._role("preview", self._github.preview_subject, self._preview())
        deploy = self._role("deploy", f"environment:{self._github.deploy_environment}", self._deploy())
        self.preview_arn, self.deploy_arn = preview.arn, deploy.arn
        self.register_outputs({"preview": self.preview_arn, "deploy": self.deploy_arn})

    def _role(self, kind: str, subject: str, statements: list[iam.Statement]) -> aws.iam.Role:
        trust = iam.Statement(
            ["sts:AssumeRoleWithWebIdentity"],
            principals={"Federated": f"arn:aws:iam::{self._account}:oidc-provider/{ISSUER}"},
            conditions={
                "StringEquals": {
                    f"{ISSUER}:aud": AUDIENCE,
                    f"{ISSUER}:sub": f"repo:{self._github.repository}:{subject}",
                }
            },
        )
        role = aws.iam.Role(
            f"ci-{kind}",
            name=f"{self._names.cluster}-{kind}",
            path=self._names.ci_path,
            description=f"GitHub Actions: {kind}",
            assume_role_policy=iam.document(trust),
            permissions_boundary=self.boundary_arn,
            max_session_duration=SESSION_SECONDS,
            opts=pulumi.ResourceOptions(parent=self, depends_on=self._trusted),
        )
        aws.iam.RolePolicy(
            f"ci-{kind}",
            role=role.id,
            policy=iam.document(*statements),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return role

    def _state(self, *, write: bool) -> list[iam.Statement]:
        """Pulumi's state in S3 and its key in KMS, where they are used."""
        statements = []
        if self._github.state_bucket is not None:
            bucket = f"arn:aws:s3:::{self._github.state_bucket}"
            objects = ["s3:GetObject", *(["s3:PutObject", "s3:DeleteObject"] if write else [])]
            statements += [
                iam.Statement(["s3:ListBucket"], [bucket], sid="StateBucket"),
                iam.Statement(objects, [f"{bucket}/*"], sid="State"),
            ]
        if self._github.state_key_arn is not None:
            actions = ["kms:Decrypt", *(["kms:Encrypt", "kms:GenerateDataKey"] if write else [])]
            statements.append(iam.Statement(actions, [self._github.state_key_arn], sid="StateKey"))
        return statements

    def _preview(self) -> list[iam.Statement]:
        return [iam.Statement(PREVIEW_READS, ["*"], sid="Reads"), *self._state(write=False)]

    def _deploy(self) -> list[iam.Statement]:
        return [
            iam.Statement([f"{service}:*" for service in CONTROL_PLANES], ["*"], sid="ControlPlanes"),
            *self._data(),
            *self._roles(),
            iam.Statement(["sts:GetCallerIdentity"], ["*"], sid="WhoAmI"),
            *self._state(write=True),
        ]

    def _boundary(self) -> list[iam.Statement]:
        """All that a deployment needs, all that a service's role is given, and what is refused whatever else allows."""
        regions = sorted({self._config.stack.region, *GLOBAL_REGIONS})
        elsewhere = {"StringNotEquals": {"aws:RequestedRegion": regions}}
        return [
            *self._deploy(),
            iam.Statement(["rds-db:connect"], [self._arn("rds-db", "dbuser:*")], sid="DatabaseSignIn"),
            iam.Statement(
                ["secretsmanager:GetSecretValue"], [self._arn("secretsmanager", MASTER_SECRETS)], sid="MigrationSignIn"
            ),
            iam.Statement(NEVER, ["*"], effect="Deny", sid="Never"),
            iam.Statement(["ec2:*", "ecs:*", "rds:*"], ["*"], effect="Deny", conditions=elsewhere, sid="OtherRegions"),
        ]

    def _data(self) -> list[iam.Statement]:
        """Services that hold data, restricted to this stack's names."""
        names, config = self._names, self._config
        secrets = [self._arn("secretsmanager", f"secret:{names.prefixed(name)}-*") for name in secret_store.NAMES]
        queue = names.prefixed(config.queue.name)
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
            iam.Statement(["ecr:GetAuthorizationToken"], ["*"], sid="Registry"),
            iam.Statement(["s3:*"], ["arn:aws:s3:::access-logs-*"], sid="AccessLogs"),
        ]

    def _roles(self) -> list[iam.Statement]:
        account = f"arn:aws:iam::{self._account}"
        roles = f"{account}:role{self._names.iam_path}*"
        return [
            iam.Statement(ROLE_ACTIONS, [roles], sid="OwnRoles"),
            iam.Statement(
                BOUND_ACTIONS,
                [roles],
                conditions={"StringEquals": {"iam:PermissionsBoundary": self._boundary_name}},
                sid="OnlyBoundRoles",
            ),
            iam.Statement(
                ["iam:PassRole"],
                [roles],
                conditions={"StringEquals": {"iam:PassedToService": list(PASSED_TO)}},
                sid="HandOver",
            ),
            iam.Statement(
                ["iam:CreateServiceLinkedRole"], [f"{account}:role/aws-service-role/*"], sid="ServiceLinkedRoles"
            ),
            iam.Statement(
                ["iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"],
                [f"{account}:role{self._names.ci_path}*"],
                sid="LookAtOurselves",
            ),
            iam.Statement(BOUNDARY_READS, [self._boundary_name], sid="LookAtTheBoundary"),
            iam.Statement(
                ["iam:GetOpenIDConnectProvider"], [f"{account}:oidc-provider/{ISSUER}"], sid="LookAtTheProvider"
            ),
        ]

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self._config.stack.region}:{self._account}:{resource}"
