"""ElastiCache for Redis and RDS for PostgreSQL: encrypted, in subnets without a route out, never public."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from aldea_infra.catalogue import POSTGRES_PORT, REDIS_PORT, Role
from aldea_infra.components.imports import Adoption
from aldea_infra.components.redis_access import ACCESS, NOBODY, password
from aldea_infra.config.sections import DatabaseSection, RedisSection

DATABASE_NAME: Final = "aldea"
MASTER_USER: Final = "aldea_admin"


@dataclass(frozen=True, slots=True)
class RedisArgs:
    """What the cache needs to know. `auth_tokens`: secret outputs, today's first, then one that is rotated out."""

    redis: RedisSection
    subnets: pulumi.Input[Sequence[str]]
    security_group: pulumi.Input[str]
    auth_tokens: Sequence[pulumi.Output[str]]


class Redis(pulumi.ComponentResource):
    """Redis 7.1 with TLS and a user for each role; from two nodes on Multi-AZ with automatic failover."""

    def __init__(
        self, name: str, args: RedisArgs, adoption: Adoption, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("aldea:datastores:Redis", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        # Adoptable: a replication group cannot change its subnet group, it would be replaced.
        subnets = aws.elasticache.SubnetGroup(
            "redis", subnet_ids=args.subnets, opts=adoption.options(self, "redis-subnets")
        )
        # ElastiCache's default evicts (volatile-lru): it would drop API keys and readings when memory runs out.
        parameters = aws.elasticache.ParameterGroup(
            "redis",
            family="redis7",
            description="Redis 7 that refuses writes rather than evict",
            parameters=[
                aws.elasticache.ParameterGroupParameterArgs(name="maxmemory-policy", value="noeviction"),
                # Who still writes to a primary that became a replica is disconnected, and finds the new one by its
                # name. ElastiCache's default, stated because failovers rest on it.
                aws.elasticache.ParameterGroupParameterArgs(name="close-on-replica-write", value="yes"),
            ],
            opts=child,
        )
        users = self._users(args, child)
        spread = args.redis.nodes > 1
        self.group = aws.elasticache.ReplicationGroup(
            "redis",
            replication_group_id=args.redis.id,
            description="API keys, limits, leases and the usage stream",
            engine="redis",
            engine_version="7.1",
            node_type=args.redis.node_type,
            num_cache_clusters=args.redis.nodes,
            automatic_failover_enabled=spread,
            multi_az_enabled=spread,
            transit_encryption_enabled=True,
            at_rest_encryption_enabled=True,
            user_group_ids=[users.user_group_id],
            parameter_group_name=parameters.name,
            subnet_group_name=subnets.name,
            security_group_ids=[args.security_group],
            port=REDIS_PORT,
            snapshot_retention_limit=args.redis.snapshot_days,
            apply_immediately=True,
            auto_minor_version_upgrade=True,
            opts=adoption.options(self, "redis"),
        )
        self.urls = {role: self._url(role, args) for role in ACCESS}
        self.register_outputs({"endpoint": self.group.primary_endpoint_address})

    def _users(self, args: RedisArgs, child: pulumi.ResourceOptions) -> aws.elasticache.UserGroup:
        """A user for each role, and one that may do nothing in place of Redis' `default`, which a group must have."""
        wanted = {**{str(role): access for role, access in ACCESS.items()}, "default": NOBODY}
        users = [
            aws.elasticache.User(
                f"redis-{name}",
                user_id=f"{args.redis.id}-{name}",
                user_name=name,
                engine="redis",
                access_string=access,
                passwords=[_password(token, name) for token in args.auth_tokens],
                opts=child,
            )
            for name, access in wanted.items()
        ]
        return aws.elasticache.UserGroup(
            "redis",
            user_group_id=f"{args.redis.id}-users",
            engine="redis",
            user_ids=[user.user_id for user in users],
            opts=child,
        )

    def _url(self, role: Role, args: RedisArgs) -> pulumi.Output[str]:
        """Where and as whom a role signs in. The password is a secret, so the URL is one."""
        secret = _password(args.auth_tokens[0], role)
        host = self.group.primary_endpoint_address
        return pulumi.Output.concat(f"rediss://{role}:", secret, "@", host, f":{REDIS_PORT}/0")


def _password(token: pulumi.Output[str], user: str) -> pulumi.Output[str]:
    return token.apply(lambda text: password(text, user))


@dataclass(frozen=True, slots=True)
class DatabaseArgs:
    """What the database needs to know."""

    database: DatabaseSection
    subnets: pulumi.Input[Sequence[str]]
    security_group: pulumi.Input[str]
    log_group: str
    log_retention_days: int


class Database(pulumi.ComponentResource):
    """PostgreSQL 18 with IAM authentication; the master password is RDS's own, rotated, read by `migrate` alone."""

    def __init__(
        self, name: str, args: DatabaseArgs, adoption: Adoption, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("aldea:datastores:Database", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        subnets = aws.rds.SubnetGroup(
            "database", subnet_ids=args.subnets, opts=adoption.options(self, "database-subnets")
        )
        parameters = aws.rds.ParameterGroup(
            "database",
            family="postgres18",
            # RDS insists on TLS by itself since PostgreSQL 15 (`rds.force_ssl`).
            description="PostgreSQL 18",
            opts=child,
        )
        # RDS would make it at its first line, to keep for ever.
        logs = aws.cloudwatch.LogGroup(
            "database-log",
            name=args.log_group,
            retention_in_days=args.log_retention_days,
            opts=adoption.options(self, "log-database"),
        )
        self.instance = aws.rds.Instance(
            "database",
            identifier=args.database.id,
            engine="postgres",
            engine_version="18",
            instance_class=args.database.instance_class,
            allocated_storage=args.database.storage_gb,
            max_allocated_storage=args.database.max_storage_gb,
            storage_type="gp3",
            storage_encrypted=True,
            db_name=DATABASE_NAME,
            username=MASTER_USER,
            manage_master_user_password=True,
            iam_database_authentication_enabled=True,
            ca_cert_identifier="rds-ca-rsa2048-g1",
            port=POSTGRES_PORT,
            db_subnet_group_name=subnets.name,
            vpc_security_group_ids=[args.security_group],
            parameter_group_name=parameters.name,
            publicly_accessible=False,
            multi_az=args.database.multi_az,
            backup_retention_period=args.database.backup_days,
            copy_tags_to_snapshot=True,
            delete_automated_backups=not args.database.protected,
            deletion_protection=args.database.protected,
            skip_final_snapshot=not args.database.protected,
            final_snapshot_identifier=f"{args.database.id}-final" if args.database.protected else None,
            performance_insights_enabled=args.database.performance_insights,
            enabled_cloudwatch_logs_exports=["postgresql"],
            auto_minor_version_upgrade=True,
            apply_immediately=False,
            opts=adoption.options(self, "database", protect=args.database.protected, depends_on=[logs]),
        )
        self.address = self.instance.address
        self.resource_id = self.instance.resource_id
        self.master_secret_arn = self.instance.master_user_secrets.apply(lambda found: found[0].secret_arn or "")
        self.register_outputs({"address": self.address})

    def url(self, user: str) -> pulumi.Output[str]:
        """The database's URL for `user`, who brings an IAM token as the password."""
        return pulumi.Output.concat(f"postgresql://{user}@", self.address, f":{POSTGRES_PORT}/{DATABASE_NAME}")
