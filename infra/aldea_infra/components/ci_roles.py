"""GitHub's two roles: preview (explicit reads) and deploy (within a permissions boundary), by OIDC, no stored keys.

Both, and the boundary, have a path of their own that the deploy role may not touch: changes to them are made by an
administrator. The services' roles may be made only with the boundary on them, so a deployment can give nobody more than
it has itself.
"""

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from aldea_infra.components import iam
from aldea_infra.components.ci_permissions import ISSUER, CiPermissions
from aldea_infra.components.naming import Names
from aldea_infra.config.parse import StackConfig

AUDIENCE: Final = "sts.amazonaws.com"
# A deployment waits for drains: three updates of 60 minutes at most, one after another, and its comparison of 30.
SESSION_SECONDS: Final = 6 * 3600


@dataclass(frozen=True, slots=True)
class CiRolesArgs:
    """What the roles need to know. `zone_id`: of the Route53 zone of the public names."""

    config: StackConfig
    names: Names
    zone_id: pulumi.Input[str]


class CiRoles(pulumi.ComponentResource):
    """The OIDC provider (or the account's existing one), the boundary, and the two roles."""

    def __init__(self, name: str, args: CiRolesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aldea:ci:CiRoles", name, None, opts)
        self._names, self._github = args.names, args.config.github
        self._account = args.config.stack.account_id
        permissions = CiPermissions(args.config, args.names, args.zone_id)
        # In the account by now, or made here; the roles' trust names it, so it goes first.
        self._trusted: list[pulumi.Resource] = []
        if self._github.oidc == "create":
            self._trusted.append(
                aws.iam.OpenIdConnectProvider(
                    "github",
                    url=f"https://{ISSUER}",
                    client_id_lists=[AUDIENCE],
                    # The account has one for all its repositories; destroying this stack must not delete it.
                    opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
                )
            )
        boundary = aws.iam.Policy(
            "boundary",
            name=args.names.boundary,
            path=args.names.ci_path,
            description="The most that the deploy role, or a role it makes, can ever do",
            policy=iam.document(*permissions.boundary()),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.boundary_arn = boundary.arn
        preview = self._role(
            # Beside pull requests: the nightly look for drift, from an environment that is bound to main.
            "preview",
            [self._github.preview_subject, f"environment:{self._github.deploy_environment}-drift"],
            permissions.preview(),
        )
        deploy = self._role("deploy", [f"environment:{self._github.deploy_environment}"], permissions.deploy())
        self.preview_arn, self.deploy_arn = preview.arn, deploy.arn
        self.register_outputs({"preview": self.preview_arn, "deploy": self.deploy_arn})

    def _role(self, kind: str, subjects: list[str], statements: list[iam.Statement]) -> aws.iam.Role:
        subjects = [f"repo:{self._github.repository}:{subject}" for subject in subjects]
        trust = iam.Statement(
            ["sts:AssumeRoleWithWebIdentity"],
            principals={"Federated": f"arn:aws:iam::{self._account}:oidc-provider/{ISSUER}"},
            conditions={
                "StringEquals": {
                    f"{ISSUER}:aud": AUDIENCE,
                    f"{ISSUER}:sub": subjects[0] if len(subjects) == 1 else subjects,
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
