"""The Application Load Balancer: listeners, target groups and the rules of `routing`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from aldea_infra.catalogue import ALB_IDLE_SECONDS, HEALTH_PATH
from aldea_infra.components import iam
from aldea_infra.config.sections import BalancerSection
from aldea_infra.routing import DEFAULT_RESPONSE, Rule, Target

# TLS 1.3 and 1.2.
TLS_POLICY: Final = "ELBSecurityPolicy-TLS13-1-2-2021-06"

# Where the accelerator's flow logs lie in the bucket of access logs.
FLOW_LOG_PREFIX: Final = "accelerator/"


@dataclass(frozen=True, slots=True)
class TargetGroupSpec:
    """One service behind the load balancer. `weight`: its share among the groups of the same target."""

    target: Target
    port: int
    weight: int
    deregistration_seconds: int


@dataclass(frozen=True, slots=True)
class BalancerArgs:
    """What the load balancer needs to know. `internal`: reachable only through the accelerator."""

    balancer: BalancerSection
    account_id: str
    region: str
    internal: bool
    vpc_id: pulumi.Input[str]
    subnets: pulumi.Input[Sequence[str]]
    security_group: pulumi.Input[str]
    certificate_arn: pulumi.Input[str]
    access_logs: str  # what the name of their bucket begins with
    rules: Sequence[Rule]
    target_groups: Mapping[str, TargetGroupSpec]  # by service name


class Balancer(pulumi.ComponentResource):
    """`groups[service]` are the target groups; a service depends on `rules`, or ECS refuses an unattached group."""

    def __init__(self, name: str, args: BalancerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aldea:balancer:Balancer", name, None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        logs, ready = self._access_log_bucket(args)
        self.balancer = aws.lb.LoadBalancer(
            "alb",
            load_balancer_type="application",
            internal=args.internal,
            ip_address_type="ipv4",
            subnets=args.subnets,
            security_groups=[args.security_group],
            idle_timeout=ALB_IDLE_SECONDS,
            drop_invalid_header_fields=True,
            desync_mitigation_mode="defensive",
            enable_http2=True,
            enable_deletion_protection=args.balancer.deletion_protection,
            access_logs=aws.lb.LoadBalancerAccessLogsArgs(bucket=logs.bucket, enabled=True),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[ready]),
        )
        self.groups = {service: self._target_group(service, spec, args) for service, spec in args.target_groups.items()}
        self.listener = self._listeners(args)
        self.rules = [self._rule(rule, args) for rule in args.rules]
        self.register_outputs({"dnsName": self.balancer.dns_name})

    def _access_log_bucket(self, args: BalancerArgs) -> tuple[aws.s3.Bucket, pulumi.Resource]:
        """Access logs hold addresses and paths, no headers. ELB writes only to buckets with S3's own key."""
        bucket = aws.s3.Bucket(
            "access-logs",
            bucket_prefix=args.access_logs,
            force_destroy=not args.balancer.deletion_protection,
            opts=self._child,
        )
        aws.s3.BucketPublicAccessBlock(
            "access-logs",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self._child,
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            "access-logs",
            bucket=bucket.id,
            rules=[
                aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=(
                        aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                            sse_algorithm="AES256"
                        )
                    )
                )
            ],
            opts=self._child,
        )
        aws.s3.BucketLifecycleConfiguration(
            "access-logs",
            bucket=bucket.id,
            rules=[
                aws.s3.BucketLifecycleConfigurationRuleArgs(
                    id="expire",
                    status="Enabled",
                    filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                    expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(
                        days=args.balancer.access_log_days
                    ),
                )
            ],
            opts=self._child,
        )
        source = f"arn:aws:elasticloadbalancing:{args.region}:{args.account_id}:loadbalancer/*"
        policy = aws.s3.BucketPolicy(
            "access-logs",
            bucket=bucket.id,
            policy=iam.document(
                iam.Statement(
                    ["s3:PutObject"],
                    [pulumi.Output.concat(bucket.arn, f"/AWSLogs/{args.account_id}/*")],
                    principals={"Service": "logdelivery.elasticloadbalancing.amazonaws.com"},
                    conditions={"ArnLike": {"aws:SourceArn": source}},
                ),
                *(_flow_log_statements(bucket, args.account_id) if args.internal else []),
                iam.tls_only(bucket.arn, "s3:*"),
            ),
            opts=self._child,
        )
        self.log_bucket, self.log_policy = bucket.bucket, policy
        return bucket, policy

    def _target_group(self, service: str, spec: TargetGroupSpec, args: BalancerArgs) -> aws.lb.TargetGroup:
        return aws.lb.TargetGroup(
            service,  # auto-named: a fixed name would break replacement
            vpc_id=args.vpc_id,
            target_type="ip",
            protocol="HTTP",
            port=spec.port,
            load_balancing_algorithm_type="least_outstanding_requests",
            deregistration_delay=spec.deregistration_seconds,
            health_check=aws.lb.TargetGroupHealthCheckArgs(
                path=HEALTH_PATH,
                protocol="HTTP",
                port="traffic-port",
                matcher="200",
                interval=10,
                timeout=5,
                healthy_threshold=2,
                unhealthy_threshold=3,
            ),
            opts=self._child,
        )

    def _listeners(self, args: BalancerArgs) -> aws.lb.Listener:
        aws.lb.Listener(
            "http",
            load_balancer_arn=self.balancer.arn,
            port=80,
            protocol="HTTP",
            default_actions=[
                aws.lb.ListenerDefaultActionArgs(
                    type="redirect",
                    redirect=aws.lb.ListenerDefaultActionRedirectArgs(
                        port="443", protocol="HTTPS", status_code="HTTP_301"
                    ),
                )
            ],
            opts=self._child,
        )
        return aws.lb.Listener(
            "https",
            load_balancer_arn=self.balancer.arn,
            port=443,
            protocol="HTTPS",
            ssl_policy=TLS_POLICY,
            certificate_arn=args.certificate_arn,
            default_actions=[
                aws.lb.ListenerDefaultActionArgs(
                    type="fixed-response",
                    fixed_response=aws.lb.ListenerDefaultActionFixedResponseArgs(
                        status_code=str(DEFAULT_RESPONSE.status),
                        content_type=DEFAULT_RESPONSE.content_type,
                        message_body=DEFAULT_RESPONSE.body,
                    ),
                )
            ],
            opts=self._child,
        )

    def _rule(self, rule: Rule, args: BalancerArgs) -> aws.lb.ListenerRule:
        conditions = []
        if rule.hosts:
            hosts = aws.lb.ListenerRuleConditionHostHeaderArgs(values=list(rule.hosts))
            conditions.append(aws.lb.ListenerRuleConditionArgs(host_header=hosts))
        if rule.header:
            header = aws.lb.ListenerRuleConditionHttpHeaderArgs(
                http_header_name=rule.header.name, values=list(rule.header.values)
            )
            conditions.append(aws.lb.ListenerRuleConditionArgs(http_header=header))
        if rule.paths:
            paths = aws.lb.ListenerRuleConditionPathPatternArgs(values=list(rule.paths))
            conditions.append(aws.lb.ListenerRuleConditionArgs(path_pattern=paths))
        weighted = [
            aws.lb.ListenerRuleActionForwardTargetGroupArgs(arn=self.groups[service].arn, weight=spec.weight)
            for service, spec in args.target_groups.items()
            if spec.target is rule.target
        ]
        forward = aws.lb.ListenerRuleActionForwardArgs(target_groups=weighted)
        return aws.lb.ListenerRule(
            f"rule-{rule.priority}",
            listener_arn=self.listener.arn,
            priority=rule.priority,
            conditions=conditions,
            actions=[aws.lb.ListenerRuleActionArgs(type="forward", forward=forward)],
            opts=self._child,
        )


def _flow_log_statements(bucket: aws.s3.Bucket, account_id: str) -> list[iam.Statement]:
    """The accelerator's flow logs, which is in front of a private load balancer, in the same bucket."""
    delivery = {"Service": "delivery.logs.amazonaws.com"}
    ours = {"aws:SourceAccount": account_id}
    return [
        iam.Statement(
            ["s3:PutObject"],
            # AWSLogs/ follows, behind one more slash where the prefix is taken as it is.
            [pulumi.Output.concat(bucket.arn, f"/{FLOW_LOG_PREFIX}*")],
            principals=delivery,
            conditions={"StringEquals": {**ours, "s3:x-amz-acl": "bucket-owner-full-control"}},
        ),
        iam.Statement(["s3:GetBucketAcl"], [bucket.arn], principals=delivery, conditions={"StringEquals": ours}),
    ]
