"""Secrets Manager: which keys each JSON secret holds, who reads them, and their values.

A service gets one key of a secret as one environment variable (`arn:key::`), injected when a task starts. A hash of
the versions it reads are in its environment, so a changed secret starts new tasks.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from aldea_infra.catalogue import Role
from aldea_infra.components import redis_access
from aldea_infra.components.imports import Adoption
from aldea_infra.components.naming import Names


@dataclass(frozen=True, slots=True)
class SecretSpec:
    """One secret: its name without the stack's prefix, and its keys with the variables that readers know them by."""

    name: str
    variables: Mapping[str, str]  # JSON key → environment variable; "" for a key that no main container reads
    readers: frozenset[Role]
    optional: frozenset[str] = frozenset()  # keys that a stack may do without
    per_role: bool = False  # a reader is given the key that is called like its role, and no other


REDIS: Final = "redis-auth-token"
BACKEND: Final = "imp-backend/env"
FRONTEND: Final = "imp-frontend/env"
UPDATER: Final = "sqs-updater/env"
STT: Final = "stt-upstream/env"
CANARY: Final = "canary/env"
# The backend's second container reads this one as DATABASE_URL: the master user's.
MIGRATE_URL: Final = "MIGRATE_DATABASE_URL"
MAIL_URL: Final = "MAIL_URL"

PROXIES: Final = frozenset({Role.WS_PROXY, Role.HTTP_PROXY})
SECRETS: Final = (
    # The URLs of Redis, each with its own user and password.
    SecretSpec(
        REDIS, dict.fromkeys(map(str, redis_access.ACCESS), "REDIS_URL"), frozenset(redis_access.ACCESS), per_role=True
    ),
    SecretSpec(
        BACKEND,
        {"DATABASE_URL": "DATABASE_URL", MIGRATE_URL: "", MAIL_URL: "MAIL_URL"},
        frozenset({Role.BACKEND}),
        optional=frozenset({MAIL_URL}),
    ),
    # The console keeps no secret of its own: its visitors' sessions are the Platform API's.
    SecretSpec(FRONTEND, {"PLATFORM_API_URL": "PLATFORM_API_URL"}, frozenset({Role.FRONTEND})),
    SecretSpec(UPDATER, {"DATABASE_URL": "DATABASE_URL"}, frozenset({Role.SQS_UPDATER})),
    SecretSpec(STT, {"STT_UPSTREAM_TOKEN": "STT_UPSTREAM_TOKEN"}, PROXIES),
    SecretSpec(CANARY, {"CANARY_KEY": "CANARY_KEY"}, frozenset({Role.CANARY})),
)
NAMES: Final = tuple(spec.name for spec in SECRETS)


@dataclass(frozen=True, slots=True)
class SecretStoreArgs:
    """`values`: by secret name, the JSON object's values by key (secret outputs)."""

    names: Names
    recovery_days: int
    values: Mapping[str, Mapping[str, pulumi.Input[str]]]


@dataclass(frozen=True, slots=True)
class Injection:
    """What one role's task definition takes from the store."""

    variables: Mapping[str, pulumi.Output[str]]  # environment variable → valueFrom
    arns: Sequence[pulumi.Output[str]]  # what the execution role may read
    versions: pulumi.Output[str]  # changes when any of them changes
    depends_on: Sequence[pulumi.Resource]


class SecretStore(pulumi.ComponentResource):
    """Every secret of the stack with its current version."""

    def __init__(
        self, name: str, args: SecretStoreArgs, adoption: Adoption, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("aldea:secrets:SecretStore", name, None, opts)
        self._secrets: dict[str, aws.secretsmanager.Secret] = {}
        self._keys: dict[str, frozenset[str]] = {}
        self._versions: dict[str, aws.secretsmanager.SecretVersion] = {}
        for spec in SECRETS:
            values = args.values.get(spec.name)
            if values is None:
                continue  # its only reader does not run in this stack
            if not set(spec.variables) - spec.optional <= set(values) <= set(spec.variables):
                raise ValueError(f"secret {spec.name}: got keys {sorted(values)}; allowed: {sorted(spec.variables)}")
            self._create(spec, values, args, adoption)
        self.register_outputs({})

    def _create(
        self,
        spec: SecretSpec,
        values: Mapping[str, pulumi.Input[str]],
        args: SecretStoreArgs,
        adoption: Adoption,
    ) -> None:
        label = spec.name.replace("/", "-")
        keys = ", ".join(key for key in spec.variables if key in values)
        secret = aws.secretsmanager.Secret(
            label,
            name=args.names.prefixed(spec.name),
            description=f"Keys: {keys}. Read by: {', '.join(sorted(spec.readers))}",
            recovery_window_in_days=args.recovery_days,
            opts=adoption.options(self, f"secret-{label}"),
        )
        self._secrets[spec.name] = secret
        self._keys[spec.name] = frozenset(values)
        self._versions[spec.name] = aws.secretsmanager.SecretVersion(
            label,
            secret_id=secret.id,
            secret_string=pulumi.Output.json_dumps(dict(values)),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def arn(self, name: str) -> pulumi.Output[str]:
        """A secret's ARN."""
        return self._secrets[name].arn

    def value_from(self, name: str, key: str) -> pulumi.Output[str]:
        """What a container's `valueFrom` says for one key of a secret."""
        return value_from(self._secrets[name].arn, key)

    def injection(self, role: Role) -> Injection:
        """What a service of this role reads."""
        specs = [spec for spec in SECRETS if role in spec.readers and spec.name in self._secrets]
        versions = [self._versions[spec.name] for spec in specs]
        return Injection(
            variables={
                variable: self.value_from(spec.name, key)
                for spec in specs
                for key, variable in spec.variables.items()
                if variable and key in self._keys[spec.name] and (not spec.per_role or key == role)
            },
            arns=[self._secrets[spec.name].arn for spec in specs],
            versions=pulumi.Output.all(*(version.version_id for version in versions)).apply(_digest),
            depends_on=versions,
        )


def value_from(arn: pulumi.Input[str], key: str) -> pulumi.Output[str]:
    """ECS's spelling of one key of a JSON secret, in its current version."""
    return pulumi.Output.concat(arn, ":", key, "::")


def _digest(version_ids: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(version_ids).encode()).hexdigest()[:16]
