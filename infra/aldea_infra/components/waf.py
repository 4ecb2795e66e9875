"""The regional WAF on the load balancer: allowlist, geo blocking, rate limiting, AWS managed groups.

The allowlist exempts from geo blocking and rate limiting; it closes the service to nobody. Uploads of audio are kept
away from rules that look into bodies: the WAF sees only a body's first 8 KB, and random bytes match anything.
Bodies of WebSocket frames are not seen at all; the applications limit those.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from aldea_infra.components.naming import Names
from aldea_infra.config.sections import WafSection
from aldea_infra.routing import Hosts

W = aws.wafv2
# The provider's classes for the same statement differ by where it is nested; these are the two nested places used here.
Scope = aws.wafv2.WebAclRuleStatementManagedRuleGroupStatementScopeDownStatementArgs
ScopeNot = aws.wafv2.WebAclRuleStatementManagedRuleGroupStatementScopeDownStatementNotStatementArgs
ScopeOr = aws.wafv2.WebAclRuleStatementManagedRuleGroupStatementScopeDownStatementOrStatementArgs
ScopeBytes = aws.wafv2.WebAclRuleStatementManagedRuleGroupStatementScopeDownStatementByteMatchStatementArgs
ScopeField = aws.wafv2.WebAclRuleStatementManagedRuleGroupStatementScopeDownStatementByteMatchStatementFieldToMatchArgs
ScopePath = (
    aws.wafv2.WebAclRuleStatementManagedRuleGroupStatementScopeDownStatementByteMatchStatementFieldToMatchUriPathArgs
)
ScopeHeader = (
    W.WebAclRuleStatementManagedRuleGroupStatementScopeDownStatementByteMatchStatementFieldToMatchSingleHeaderArgs
)
ScopeTransform = (
    aws.wafv2.WebAclRuleStatementManagedRuleGroupStatementScopeDownStatementByteMatchStatementTextTransformationArgs
)
RateScope = aws.wafv2.WebAclRuleStatementRateBasedStatementScopeDownStatementArgs
RateScopeNot = aws.wafv2.WebAclRuleStatementRateBasedStatementScopeDownStatementNotStatementArgs
RateScopeLabel = aws.wafv2.WebAclRuleStatementRateBasedStatementScopeDownStatementLabelMatchStatementArgs

EXEMPT: Final = "aldea:exempt"
# Dimension values of AWS/WAFV2 BlockedRequests.
ACL_METRIC: Final = "firewall"
# Paths whose bodies are audio: every prefix of the routing table's listen and transcribe rules.
AUDIO_PREFIXES: Final = ("/v1/listen", "/listen/", "/transcribe", "/v1/audio/")
# Rules of the known-bad-inputs group that look into bodies.
BODY_RULES: Final = ("JavaDeserializationRCE_BODY", "Log4JRCE_BODY")
# Never in a log: they carry keys, tokens and sessions.
SECRET_HEADERS: Final = ("authorization", "sec-websocket-protocol", "cookie")
BLOCKED: Final = {
    "err_code": "INSUFFICIENT_PERMISSIONS",
    "err_msg": "The request was refused by the firewall.",
    "request_id": "",
}
LIMITED: Final = {
    "err_code": "TOO_MANY_REQUESTS",
    "err_msg": "Too many requests from this address. Slow down.",
    "request_id": "",
}


@dataclass(frozen=True, slots=True)
class WafArgs:
    """What the WAF needs to know."""

    waf: WafSection
    hosts: Hosts
    names: Names
    nat_addresses: Sequence[pulumi.Input[str]]
    balancer_arn: pulumi.Input[str]
    log_retention_days: int


class Waf(pulumi.ComponentResource):
    """The web ACL, its address sets, its association and its log of blocked requests."""

    def __init__(self, name: str, args: WafArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aldea:edge:Waf", name, None, opts)
        self._child = child = pulumi.ResourceOptions(parent=self)
        customers = self._addresses("allowlist", "Fixed networks of customers", args.waf.allowlist)
        # Our own tasks (the canary, a frontend's link) reach the public name through these.
        own = self._addresses("nat", "NAT gateways", [pulumi.Output.concat(ip, "/32") for ip in args.nat_addresses])
        self.acl = W.WebAcl(
            "firewall",
            scope="REGIONAL",
            description="Allowlist, geo blocking, rate limiting, AWS managed groups",
            default_action=W.WebAclDefaultActionArgs(allow=W.WebAclDefaultActionAllowArgs()),
            custom_response_bodies=[_body("blocked", BLOCKED), _body("limited", LIMITED)],
            rules=_rules(args, customers.arn, own.arn),
            visibility_config=W.WebAclVisibilityConfigArgs(
                cloudwatch_metrics_enabled=True, metric_name=ACL_METRIC, sampled_requests_enabled=False
            ),
            opts=child,
        )
        W.WebAclAssociation("firewall", resource_arn=args.balancer_arn, web_acl_arn=self.acl.arn, opts=child)
        self._log(args)
        self.register_outputs({"arn": self.acl.arn})

    def _addresses(self, label: str, description: str, networks: Sequence[pulumi.Input[str]]) -> aws.wafv2.IpSet:
        return W.IpSet(
            label,
            scope="REGIONAL",
            ip_address_version="IPV4",
            description=description,
            addresses=list(networks),
            opts=self._child,
        )

    def _log(self, args: WafArgs) -> None:
        """Blocked requests only, without any header that carries a secret."""
        group = aws.cloudwatch.LogGroup(
            "firewall-log",
            name=args.names.waf_log_group,
            retention_in_days=args.log_retention_days,
            opts=self._child,
        )
        blocked = W.WebAclLoggingConfigurationLoggingFilterFilterConditionArgs(
            action_condition=W.WebAclLoggingConfigurationLoggingFilterFilterConditionActionConditionArgs(action="BLOCK")
        )
        W.WebAclLoggingConfiguration(
            "firewall-log",
            resource_arn=self.acl.arn,
            log_destination_configs=[group.arn],
            redacted_fields=[
                W.WebAclLoggingConfigurationRedactedFieldArgs(
                    single_header=W.WebAclLoggingConfigurationRedactedFieldSingleHeaderArgs(name=header)
                )
                for header in SECRET_HEADERS
            ],
            logging_filter=W.WebAclLoggingConfigurationLoggingFilterArgs(
                default_behavior="DROP",
                filters=[
                    W.WebAclLoggingConfigurationLoggingFilterFilterArgs(
                        behavior="KEEP", requirement="MEETS_ANY", conditions=[blocked]
                    )
                ],
            ),
            opts=self._child,
        )


def _rules(args: WafArgs, customers: pulumi.Input[str], own: pulumi.Input[str]) -> list[aws.wafv2.WebAclRuleArgs]:
    """The rules by priority; the exemptions come first, because later rules read their label."""
    audio = [_path_begins(prefix) for prefix in AUDIO_PREFIXES]
    consoles = [_host_begins(args.hosts.backend), _host_begins(args.hosts.platform)]
    geo = [_geo_rule(args.waf.blocked_countries)] if args.waf.blocked_countries else []
    return [
        _exempting("customers", 0, customers),
        _exempting("own-addresses", 1, own),
        *geo,
        _rate_rule(args.waf),
        _managed("ip-reputation", 30, "AWSManagedRulesAmazonIpReputationList"),
        _managed("bad-inputs", 40, "AWSManagedRulesKnownBadInputsRuleSet", scope=_none_of(audio)),
        _managed("bad-inputs-audio", 41, "AWSManagedRulesKnownBadInputsRuleSet", _any_of(audio), BODY_RULES),
        # It refuses a missing User-Agent, bodies over 8 KB and long query strings: never on the api host.
        _managed("common", 50, "AWSManagedRulesCommonRuleSet", scope=_any_of(consoles)),
    ]


def _exempting(name: str, priority: int, addresses: pulumi.Input[str]) -> aws.wafv2.WebAclRuleArgs:
    """Count, and put the label on that geo blocking and rate limiting look for."""
    return W.WebAclRuleArgs(
        name=name,
        priority=priority,
        action=W.WebAclRuleActionArgs(count=W.WebAclRuleActionCountArgs()),
        rule_labels=[W.WebAclRuleRuleLabelArgs(name=EXEMPT)],
        statement=W.WebAclRuleStatementArgs(
            ip_set_reference_statement=W.WebAclRuleStatementIpSetReferenceStatementArgs(arn=addresses)
        ),
        visibility_config=_visible(name),
    )


def _geo_rule(countries: Sequence[str]) -> aws.wafv2.WebAclRuleArgs:
    statement = W.WebAclRuleStatementArgs
    exempt = statement(label_match_statement=W.WebAclRuleStatementLabelMatchStatementArgs(scope="LABEL", key=EXEMPT))
    blocked = statement(geo_match_statement=W.WebAclRuleStatementGeoMatchStatementArgs(country_codes=list(countries)))
    not_exempt = statement(not_statement=W.WebAclRuleStatementNotStatementArgs(statement=exempt))
    return W.WebAclRuleArgs(
        name="geo",
        priority=10,
        action=_refusal(403, "blocked"),
        statement=statement(and_statement=W.WebAclRuleStatementAndStatementArgs(statements=[blocked, not_exempt])),
        visibility_config=_visible("geo"),
    )


def _rate_rule(waf: WafSection) -> aws.wafv2.WebAclRuleArgs:
    exempt = RateScope(label_match_statement=RateScopeLabel(scope="LABEL", key=EXEMPT))
    return W.WebAclRuleArgs(
        name="rate",
        priority=20,
        action=_refusal(429, "limited", {"Retry-After": str(waf.rate_window_seconds)}),
        statement=W.WebAclRuleStatementArgs(
            rate_based_statement=W.WebAclRuleStatementRateBasedStatementArgs(
                limit=waf.rate_limit,
                evaluation_window_sec=waf.rate_window_seconds,
                aggregate_key_type="IP",
                scope_down_statement=RateScope(not_statement=RateScopeNot(statement=exempt)),
            )
        ),
        visibility_config=_visible("rate"),
    )


def _managed(
    name: str,
    priority: int,
    group: str,
    scope: Scope | None = None,
    count_only: Sequence[str] = (),
) -> aws.wafv2.WebAclRuleArgs:
    """One of AWS's groups with its own actions, for the requests in `scope`; rules in `count_only` only count."""
    return W.WebAclRuleArgs(
        name=name,
        priority=priority,
        override_action=W.WebAclRuleOverrideActionArgs(none=W.WebAclRuleOverrideActionNoneArgs()),
        statement=W.WebAclRuleStatementArgs(
            managed_rule_group_statement=W.WebAclRuleStatementManagedRuleGroupStatementArgs(
                vendor_name="AWS",
                name=group,
                scope_down_statement=scope,
                rule_action_overrides=[
                    W.WebAclRuleStatementManagedRuleGroupStatementRuleActionOverrideArgs(
                        name=rule,
                        action_to_use=W.WebAclRuleStatementManagedRuleGroupStatementRuleActionOverrideActionToUseArgs(
                            count=W.WebAclRuleStatementManagedRuleGroupStatementRuleActionOverrideActionToUseCountArgs()
                        ),
                    )
                    for rule in count_only
                ],
            )
        ),
        visibility_config=_visible(name),
    )


def _path_begins(prefix: str) -> Scope:
    return _begins(ScopeField(uri_path=ScopePath()), prefix, "NONE")


def _host_begins(host: str) -> Scope:
    """The Host header begins with `host` (a port may follow)."""
    return _begins(ScopeField(single_header=ScopeHeader(name="host")), host, "LOWERCASE")


def _begins(field: ScopeField, text: str, transform: str) -> Scope:
    return Scope(
        byte_match_statement=ScopeBytes(
            search_string=text,
            positional_constraint="STARTS_WITH",
            field_to_match=field,
            text_transformations=[ScopeTransform(priority=0, type=transform)],
        )
    )


def _any_of(statements: Sequence[Scope]) -> Scope:
    return Scope(or_statement=ScopeOr(statements=list(statements)))


def _none_of(statements: Sequence[Scope]) -> Scope:
    return Scope(not_statement=ScopeNot(statement=_any_of(statements)))


def _refusal(status: int, body: str, headers: Mapping[str, str] | None = None) -> aws.wafv2.WebAclRuleActionArgs:
    return W.WebAclRuleActionArgs(
        block=W.WebAclRuleActionBlockArgs(
            custom_response=W.WebAclRuleActionBlockCustomResponseArgs(
                response_code=status,
                custom_response_body_key=body,
                response_headers=[
                    W.WebAclRuleActionBlockCustomResponseResponseHeaderArgs(name=name, value=value)
                    for name, value in (headers or {}).items()
                ]
                or None,  # WAF takes no empty list
            )
        )
    )


def _visible(name: str) -> aws.wafv2.WebAclRuleVisibilityConfigArgs:
    return W.WebAclRuleVisibilityConfigArgs(
        cloudwatch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=False
    )


def _body(key: str, content: dict[str, str]) -> aws.wafv2.WebAclCustomResponseBodyArgs:
    return W.WebAclCustomResponseBodyArgs(key=key, content=json.dumps(content), content_type="APPLICATION_JSON")
