"""One whole deployment: the configuration is read, the components are wired, what others need to know is returned."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi.runtime.config import get_config

from aldea_infra import routing
from aldea_infra.catalogue import ROLES, Image, Role
from aldea_infra.components import secret_store, task_environment
from aldea_infra.components.accelerator import Accelerator, AcceleratorArgs
from aldea_infra.components.alarms import AlarmTopic
from aldea_infra.components.ci_roles import CiRoles, CiRolesArgs
from aldea_infra.components.cluster import Cluster, ClusterArgs
from aldea_infra.components.datastores import MASTER_USER, Database, DatabaseArgs, Redis, RedisArgs
from aldea_infra.components.dns import AliasArgs, Aliases, Certificate, CertificateArgs
from aldea_infra.components.fargate_service import Placement
from aldea_infra.components.iam import RoleFactory
from aldea_infra.components.imports import Adoption
from aldea_infra.components.load_balancer import Balancer, BalancerArgs, TargetGroupSpec
from aldea_infra.components.naming import Names
from aldea_infra.components.network import Network, NetworkArgs
from aldea_infra.components.observability import Observability, ObservabilityArgs
from aldea_infra.components.queue import UsageQueue, UsageQueueArgs
from aldea_infra.components.registry import Registry, RegistryArgs
from aldea_infra.components.secret_store import SecretStore, SecretStoreArgs
from aldea_infra.components.security_groups import BALANCER, DATABASE, REDIS, SecurityGroups, SecurityGroupsArgs
from aldea_infra.components.services import Fleet, Stores, run
from aldea_infra.components.tags import tags
from aldea_infra.components.waf import Waf, WafArgs
from aldea_infra.config import mail
from aldea_infra.config.parse import SECTIONS, ConfigError, Secret, StackConfig, parse
from aldea_infra.config.sections import ServiceSection


@dataclass(frozen=True, slots=True)
class Stack:
    """The validated configuration and its secrets."""

    config: StackConfig
    secrets: Mapping[Secret, pulumi.Output[str]]
    mail_port: int | None  # where mailUrl's server listens; None: there is none


def read(source: pulumi.Config) -> Stack:
    """The stack's configuration. Raises ConfigError with every fault in one message."""
    sections = {name: value for name in SECTIONS if (value := source.get_object(name)) is not None}
    # The plain text is looked at here and nowhere else; what travels on is marked secret.
    texts = {secret: get_config(source.full_key(secret)) for secret in Secret}
    config = parse(sections, texts)
    secrets = {name: pulumi.Output.secret(text) for name, text in texts.items() if text is not None}
    mail_url = texts[Secret.MAIL_URL]
    return Stack(config, secrets, None if mail_url is None else mail.port(mail_url))


def build(stack: Stack) -> dict[str, pulumi.Input[object]]:
    """Register every resource; returns the stack's outputs. No secret is among them."""
    config, names, adoption = stack.config, Names.of(stack.config), Adoption(stack.config.adopt)
    provider = aws.Provider(
        "aws",
        region=config.stack.region,
        allowed_account_ids=[config.stack.account_id],
        default_tags=aws.ProviderDefaultTagsArgs(tags=tags(config)),
    )
    opts = pulumi.ResourceOptions(providers=[provider])
    zone = aws.route53.get_zone_output(
        name=config.hosts.zone, private_zone=False, opts=pulumi.InvokeOutputOptions(provider=provider)
    )
    ci = CiRoles("ci", CiRolesArgs(config, names, zone.zone_id), opts)
    roles = RoleFactory(config.stack.account_id, names.iam_path, ci.boundary_arn)
    network = Network(
        "network",
        NetworkArgs(
            config.network,
            names,
            config.stack.region,
            roles,
            config.stack.log_retention_days,
            protect=config.database.protected,
        ),
        opts,
    )
    running = _running(stack)
    used = sorted({section.role for section in running.values()})
    stt_ports = sorted({lane.port for lane in config.lanes.values()})
    if stack.mail_port is None:
        pulumi.log.warn("no mail is sent: set mailUrl (docs/deploy.md)")
    firewall = SecurityGroupsArgs(network.vpc_id, stt_ports, used, stack.mail_port, config.traces.port)
    security = SecurityGroups("firewall", firewall, opts)
    entrance = _entrance(config, names, zone.zone_id, network, security, adoption, opts)
    stores = _stores(stack, names, network, security, adoption, opts)
    registry = Registry(
        "registry",
        RegistryArgs(
            names,
            config.stack.architecture,
            config.images,
            _running_images(config),
            force_delete=not config.database.protected,
        ),
        adoption,
        opts,
    )
    topic = AlarmTopic("alarms", config.alarms, config.stack.account_id, opts) if config.alarms.enabled else None
    cluster = Cluster("cluster", ClusterArgs(names, config.stack.spot), adoption, opts)
    fleet = Fleet(
        config=config,
        names=names,
        placement=Placement(
            cluster_name=cluster.cluster.name,
            cluster_arn=cluster.cluster.arn,
            namespace_arn=cluster.namespace.arn,
            capacity=cluster.capacity,
            subnets=network.private_subnets,
            groups={name: group.id for name, group in security.groups.items()},
            architecture=config.stack.architecture,
            spot=config.stack.spot,
            region=config.stack.region,
            roles=roles,
            log_retention_days=config.stack.log_retention_days,
        ),
        balancer=entrance.balancer,
        stores=stores,
        registry=registry,
        adoption=adoption,
        alarms=topic.alarms if topic else None,
    )
    run(fleet, running, opts)
    Observability(
        "observability",
        ObservabilityArgs(
            config=config,
            names=names,
            alarms=topic.alarms if topic else None,
            balancer_suffix=entrance.balancer.balancer.arn_suffix,
            group_suffixes={name: group.arn_suffix for name, group in entrance.balancer.groups.items()},
            queue_name=stores.queue.queue.name,
            dead_letters_name=stores.queue.dead_letters.name,
            acl_name=entrance.waf.acl.name if entrance.waf else None,
            canaries=[name for name, section in running.items() if section.role is Role.CANARY],
        ),
        opts,
    )
    if unused := adoption.unused():
        raise ConfigError(
            f"adopt: got {', '.join(unused)}, which no resource is named; allowed: {', '.join(adoption.requested())}. "
            "Correct Pulumi.<stack>.yaml and run again."
        )
    return {
        "urls": {host: f"https://{host}" for host in config.hosts.names()},
        "natAddresses": list(network.nat_addresses),
        "repositories": dict(registry.urls),
        "images": dict(registry.references),
        "cluster": cluster.cluster.name,
        "previewRoleArn": ci.preview_arn,
        "deployRoleArn": ci.deploy_arn,
    }


def _running_images(config: StackConfig) -> pulumi.Output[Mapping[str, str] | None] | None:
    """What the last deployment ran, from its own outputs: a change of something else replaces no task."""
    if config.build or all(image in config.images for image in Image):
        return None
    itself = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    return pulumi.StackReference(itself).get_output("images")


def _running(stack: Stack) -> dict[str, ServiceSection]:
    """The services to run: all, but for a canary that has no key yet."""
    services = dict(stack.config.services)
    if Secret.CANARY_KEY not in stack.secrets:
        for name in stack.config.of_role(Role.CANARY):
            pulumi.log.warn(f"{name} is left out: set canaryKey once the platform runs (docs/deploy.md)")
            del services[name]
    return services


@dataclass(frozen=True, slots=True)
class Entrance:
    """The resources between clients and services."""

    balancer: Balancer
    waf: Waf | None


def _entrance(
    config: StackConfig,
    names: Names,
    zone_id: pulumi.Input[str],
    network: Network,
    security: SecurityGroups,
    adoption: Adoption,
    opts: pulumi.ResourceOptions,
) -> Entrance:
    """Certificate, load balancer, WAF, accelerator where there is one, and the public names."""
    certificate = Certificate("dns", CertificateArgs(config.hosts, zone_id), opts)
    routes = config.hosts.for_routing()
    balancer = Balancer(
        "balancer",
        BalancerArgs(
            balancer=config.balancer,
            account_id=config.stack.account_id,
            region=config.stack.region,
            internal=config.edge.accelerator,
            vpc_id=network.vpc_id,
            subnets=network.private_subnets if config.edge.accelerator else network.public_subnets,
            security_group=security.groups[BALANCER].id,
            certificate_arn=certificate.arn,
            access_logs=names.access_logs,
            rules=routing.rules(routes),
            target_groups=_target_groups(config),
        ),
        opts,
    )
    waf = None
    if config.edge.waf is not None:
        nat, days = network.nat_addresses, config.stack.log_retention_days
        waf = Waf("waf", WafArgs(config.edge.waf, routes, names, nat, balancer.balancer.arn, days), opts)
    name, zone = balancer.balancer.dns_name, balancer.balancer.zone_id
    if config.edge.accelerator:
        edge = AcceleratorArgs(
            name=names.cluster,
            region=config.stack.region,
            balancer_arn=balancer.balancer.arn,
            protect=config.database.protected,
            log_bucket=balancer.log_bucket,
            log_policy=balancer.log_policy,
        )
        accelerator = Accelerator("edge", edge, adoption, opts)
        name, zone = accelerator.dns_name, accelerator.zone_id
    Aliases(
        "aliases",
        AliasArgs(
            zone_id=zone_id,
            hosts=config.hosts.names(),
            target_name=name,
            target_zone_id=zone,
            # An accelerator's alias cannot be evaluated: Route53 knows no health of it.
            evaluate_target_health=not config.edge.accelerator,
        ),
        adoption,
        opts,
    )
    return Entrance(balancer, waf)


def _target_groups(config: StackConfig) -> dict[str, TargetGroupSpec]:
    """One for each service behind the load balancer, weighted by its lane."""
    found = {}
    for name, section in config.services.items():
        spec = ROLES[section.role]
        if spec.target is not None and spec.port is not None:
            weight = config.lanes[section.lane].weight if section.lane else 1
            found[name] = TargetGroupSpec(spec.target, spec.port, weight, section.deregistration_seconds)
    return found


def _stores(
    stack: Stack,
    names: Names,
    network: Network,
    security: SecurityGroups,
    adoption: Adoption,
    opts: pulumi.ResourceOptions,
) -> Stores:
    """Redis, PostgreSQL, the queues, and the secrets that say where they are."""
    config = stack.config
    tokens = [
        stack.secrets[name]
        for name in (Secret.REDIS_AUTH_TOKEN, Secret.REDIS_AUTH_TOKEN_BEFORE)
        if name in stack.secrets
    ]
    redis = Redis(
        "redis",
        RedisArgs(config.redis, network.isolated_subnets, security.groups[REDIS].id, tokens),
        adoption,
        opts,
    )
    database = Database(
        "database",
        DatabaseArgs(
            config.database,
            network.isolated_subnets,
            security.groups[DATABASE].id,
            names.database_log_group(config.database.id),
            config.stack.log_retention_days,
        ),
        adoption,
        opts,
    )
    queue = UsageQueue("queue", UsageQueueArgs(config.queue, names, protect=config.database.protected), adoption, opts)
    users = task_environment.DATABASE_USERS
    values: dict[str, dict[str, pulumi.Input[str]]] = {
        secret_store.REDIS: {str(role): url for role, url in redis.urls.items()},
        secret_store.BACKEND: {
            "DATABASE_URL": database.url(users[Role.BACKEND]),
            secret_store.MIGRATE_URL: database.url(MASTER_USER),
            **({secret_store.MAIL_URL: stack.secrets[Secret.MAIL_URL]} if Secret.MAIL_URL in stack.secrets else {}),
        },
        secret_store.FRONTEND: {"PLATFORM_API_URL": task_environment.backend_url()},
        secret_store.UPDATER: {"DATABASE_URL": database.url(users[Role.SQS_UPDATER])},
        secret_store.STT: {"STT_UPSTREAM_TOKEN": stack.secrets[Secret.STT_UPSTREAM_TOKEN]},
    }
    if Secret.CANARY_KEY in stack.secrets and config.of_role(Role.CANARY):
        values[secret_store.CANARY] = {"CANARY_KEY": stack.secrets[Secret.CANARY_KEY]}
    secrets = SecretStore("secrets", SecretStoreArgs(names, config.stack.secret_recovery_days, values), adoption, opts)
    return Stores(database, queue, secrets)
