"""What a stack needs of its account and does not make: quotas, AWS's own roles, the zone, engine versions, GitHub."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from aldea_infra.config.parse import StackConfig
from aldea_infra.offline.graph import Graph
from aldea_infra.preflight.cloud import Cloud, Row, Rows, Status

# Service Quotas' codes: Fargate's vCPUs (ordinary, Spot), EC2-VPC Elastic IPs, VPCs of a region.
FARGATE_VCPUS, FARGATE_SPOT_VCPUS = ("fargate", "L-3032A538"), ("fargate", "L-36FBB829")
ADDRESSES, VPCS = ("ec2", "L-0263D0A3"), ("vpc", "L-F678F1CE")
# AWS makes each at a service's first use, a little too late for that use; by the types that need it.
LINKED_ROLES: Final = {
    "aws:ecs/cluster:Cluster": ("AWSServiceRoleForECS", "ecs.amazonaws.com"),
    "aws:lb/loadBalancer:LoadBalancer": ("AWSServiceRoleForElasticLoadBalancing", "elasticloadbalancing.amazonaws.com"),
    "aws:rds/instance:Instance": ("AWSServiceRoleForRDS", "rds.amazonaws.com"),
    "aws:elasticache/replicationGroup:ReplicationGroup": ("AWSServiceRoleForElastiCache", "elasticache.amazonaws.com"),
    "aws:appautoscaling/target:Target": (
        "AWSServiceRoleForApplicationAutoScaling_ECSService", "ecs.application-autoscaling.amazonaws.com",
    ),
    "aws:globalaccelerator/accelerator:Accelerator": (
        "AWSServiceRoleForGlobalAccelerator", "globalaccelerator.amazonaws.com",
    ),
    "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration": (
        "AWSServiceRoleForWAFV2Logging", "wafv2.amazonaws.com",
    ),
}  # fmt: skip
# Whom a CAA record must name for ACM to issue (ACM user guide, "Certification Authority Authorization").
AUTHORITIES: Final = frozenset({"amazon.com", "amazontrust.com", "awstrust.com", "amazonaws.com"})
GITHUB: Final = "token.actions.githubusercontent.com"


def who(cloud: Cloud, config: StackConfig, graph: Graph) -> Rows:
    """The account is the stack's own: the provider refuses any other."""
    del graph
    found, wanted = cloud.read("sts", "get_caller_identity")["Account"], config.stack.account_id
    if found == wanted:
        yield Row("account", Status.OK, f"{found}, region {config.stack.region}")
    else:
        action = "sign in to the stack's account, or correct stack.accountId"
        yield Row("account", Status.DO, f"signed in to {found}; the stack is for {wanted}", action)


def fargate(cloud: Cloud, config: StackConfig, graph: Graph) -> Rows:
    """A new account has 6 vCPUs; a deployment runs old and new tasks beside one another."""
    del graph
    services = config.services.values()
    least = 2 * sum(each.min_tasks * each.cpu for each in services) / 1024
    most = sum(each.max_tasks * each.cpu for each in services) / 1024
    for code in (FARGATE_VCPUS, *([FARGATE_SPOT_VCPUS] if config.stack.spot else [])):
        check = "quota: Fargate Spot vCPUs" if code == FARGATE_SPOT_VCPUS else "quota: Fargate vCPUs"
        quota = _quota(cloud, code)
        found = f"{quota:g}; a deployment at rest takes {least:g}, all services at maxTasks {most:g}"
        status = Status.OK if quota >= max(least, most) else Status.DO if quota < least else Status.LOOK
        yield Row(check, status, found, "" if status is Status.OK else _request(code, max(least, most)))


def addresses(cloud: Cloud, config: StackConfig, graph: Graph) -> Rows:
    """A region gives 5 Elastic IPs and 5 VPCs at first."""
    held = cloud.read("ec2", "describe_addresses").get("Addresses", [])
    yield _room("quota: Elastic IPs", cloud, ADDRESSES, held, len(_made(graph, "aws:ec2/eip:Eip")), config)
    vpcs = list(cloud.pages("ec2", "describe_vpcs", "Vpcs"))
    yield _room("quota: VPCs", cloud, VPCS, vpcs, len(_made(graph, "awsx:ec2:Vpc")), config)


def linked_roles(cloud: Cloud, config: StackConfig, graph: Graph) -> Rows:
    """The first use of a service whose role AWS still makes is refused, now and then."""
    del config
    for kind, (role, service) in LINKED_ROLES.items():
        if not graph.of(kind):
            continue
        there = cloud.read_or_none("iam", "get_role", "NoSuchEntity", RoleName=role) is not None
        action = "" if there else f"aws iam create-service-linked-role --aws-service-name {service}"
        yield Row(f"role: {role}", Status.OK if there else Status.DO, "there" if there else "missing", action)


def zone(cloud: Cloud, config: StackConfig, graph: Graph) -> Rows:
    """The zone is looked up, never made; a CAA record keeps ACM from issuing; a record that exists is not replaced."""
    name = config.hosts.zone
    listed = cloud.read("route53", "list_hosted_zones_by_name", DNSName=name, MaxItems="20")["HostedZones"]
    found = [each for each in listed if each["Name"] == f"{name}." and not each.get("Config", {}).get("PrivateZone")]
    if len(found) != 1:
        action = f"aws route53 create-hosted-zone --name {name} --caller-reference 1, and delegate it"
        yield Row(f"zone: {name}", Status.DO, f"{len(found)} public zones; wanted: one",
                  action if not found else "delete all but the delegated one")  # fmt: skip
        return
    servers = cloud.read("route53", "get_hosted_zone", Id=found[0]["Id"]).get("DelegationSet", {}).get("NameServers")
    said = f"there, served by {', '.join(servers or ['nobody'])}"
    yield Row(f"zone: {name}", Status.LOOK, said, f"dig +short NS {name} must name these servers")
    records = _records(cloud, found[0]["Id"])
    for host in config.hosts.names():
        yield _caa(host, name, records)
    for each in graph.of("aws:route53/record:Record"):
        key = (str(each.inputs["name"]).rstrip("."), str(each.inputs["type"]))
        if key[0] in config.hosts.names():
            taken = key in records and not each.import_id
            action = f"if this stack made it, nothing; otherwise adopt it as {each.name}, or delete it" if taken else ""
            yield Row(f"record: {key[0]} {key[1]}", Status.DO if taken else Status.OK, "taken" if taken else "free",
                      action)  # fmt: skip


def engines(cloud: Cloud, config: StackConfig, graph: Graph) -> Rows:
    """The versions and sizes are offered in the region."""
    region = config.stack.region
    for each in graph.of("aws:rds/instance:Instance"):
        wanted = (each.inputs["engine"], str(each.inputs["engineVersion"]), each.inputs["instanceClass"])
        offered = cloud.read("rds", "describe_db_engine_versions", Engine=wanted[0], EngineVersion=wanted[1])
        families = {found["DBParameterGroupFamily"] for found in offered["DBEngineVersions"]}
        yield _offered(f"engine: {wanted[0]} {wanted[1]}", families, region, "database.engineVersion in datastores.py")
        yield _offered(
            f"size: {wanted[2]}",
            _sizes(cloud, wanted[0], {found["EngineVersion"] for found in offered["DBEngineVersions"]}, wanted[2]),
            region, "database.instanceClass in the stack file",
        )  # fmt: skip
    for each in graph.of("ReplicationGroup"):
        engine, version = each.inputs["engine"], str(each.inputs["engineVersion"])
        listed = cloud.read("elasticache", "describe_cache_engine_versions", Engine=engine)["CacheEngineVersions"]
        families = {
            found["CacheParameterGroupFamily"] for found in listed if _begins(str(found["EngineVersion"]), version)
        }
        yield _offered(f"engine: {engine} {version}", families, region, "engine_version in datastores.py")


def github(cloud: Cloud, config: StackConfig, graph: Graph) -> Rows:
    """GitHub's provider is one per account; a subject of another form is refused without saying which was given."""
    listed = cloud.read("iam", "list_open_id_connect_providers")["OpenIDConnectProviderList"]
    there = any(each["Arn"].endswith(f"/{GITHUB}") for each in listed)
    wanted = config.github.oidc == "existing"
    adopted = any(each.import_id for each in graph.of("OpenIdConnectProvider"))
    action = f"if this stack made it, nothing; otherwise set github.oidc: {'existing' if there else 'create'}"
    fits = there == wanted or (there and adopted)
    yield Row("GitHub's provider", Status.OK if fits else Status.DO,
              f"{'there' if there else 'missing'}; github.oidc is {config.github.oidc}",
              "" if fits else action)  # fmt: skip
    yield from _subjects(cloud, config)


CHECKS: Final[Mapping[str, Callable[[Cloud, StackConfig, Graph], Rows]]] = {
    "account": who,
    "quota: Fargate": fargate,
    "quota: addresses": addresses,
    "service-linked roles": linked_roles,
    "zone": zone,
    "engines": engines,
    "GitHub": github,
}


def _quota(cloud: Cloud, code: tuple[str, str]) -> float:
    """The account's value, or AWS's default where the account has none of its own."""
    given = {"ServiceCode": code[0], "QuotaCode": code[1]}
    found = cloud.read_or_none("service-quotas", "get_service_quota", "NoSuchResource", **given)
    if found is None:
        found = cloud.read("service-quotas", "get_aws_default_service_quota", **given)
    return float(found["Quota"]["Value"])


def _request(code: tuple[str, str], value: float) -> str:
    return (
        f"aws service-quotas request-service-quota-increase --service-code {code[0]} --quota-code {code[1]} "
        f"--desired-value {int(-(-value // 1))}"
    )


def _room(
    check: str, cloud: Cloud, code: tuple[str, str], held: list[Any], wanted: int, config: StackConfig
) -> Row:  # fmt: skip
    ours = sum({"Key": "Cluster", "Value": config.stack.cluster} in each.get("Tags", ()) for each in held)
    quota, needed = _quota(cloud, code), len(held) - ours + wanted
    found = f"{quota:g}; {len(held)} in use, {ours} of them this stack's, which takes {wanted}"
    return Row(check, *(Status.OK, found) if needed <= quota else (Status.DO, found, _request(code, needed)))


def _made(graph: Graph, kind: str) -> list[object]:
    return [each for each in graph.of(kind) if not each.import_id]


def _records(cloud: Cloud, zone_id: str) -> dict[tuple[str, str], list[str]]:
    """The zone's records by name and type; names without the last dot."""
    found: dict[tuple[str, str], list[str]] = {}
    start: dict[str, str] = {}
    while True:
        page = cloud.read("route53", "list_resource_record_sets", HostedZoneId=zone_id, **start)
        for each in page["ResourceRecordSets"]:
            values = [record["Value"] for record in each.get("ResourceRecords", ())]
            found.setdefault((each["Name"].rstrip("."), each["Type"]), []).extend(values)
        if not page.get("IsTruncated"):
            return found
        start = {"StartRecordName": page["NextRecordName"], "StartRecordType": page["NextRecordType"]}


def _caa(host: str, apex: str, records: Mapping[tuple[str, str], list[str]]) -> Row:
    """The records nearest above the name decide (RFC 8659, section 3); none allow everybody."""
    name = host
    while (name, "CAA") not in records and name != apex:
        name = name.partition(".")[2]
    found = records.get((name, "CAA"), [])
    issuers = {
        parts[2].strip('"').partition(";")[0].strip().lower()
        for parts in (value.split(None, 2) for value in found)
        if len(parts) == 3 and parts[1].lower() == "issue"
    }
    if issuers and not issuers & AUTHORITIES:
        action = f'add 0 issue "amazon.com" to the CAA records of {name}'
        return Row(f"CAA: {host}", Status.DO, f"{name} allows {', '.join(sorted(issuers)) or 'nobody'}", action)
    return Row(f"CAA: {host}", Status.OK, f"{name} allows Amazon" if issuers else "no record forbids Amazon")


def _sizes(cloud: Cloud, engine: str, versions: set[str], size: str) -> set[str]:
    for version in sorted(versions, reverse=True):
        found = cloud.read("rds", "describe_orderable_db_instance_options", Engine=engine, EngineVersion=version,
                           DBInstanceClass=size)  # fmt: skip
        if found["OrderableDBInstanceOptions"]:
            return {f"with {engine} {version}"}
    return set()


def _offered(check: str, found: set[str], region: str, where: str) -> Row:
    if found:
        return Row(check, Status.OK, f"offered in {region}: {', '.join(sorted(found))}")
    return Row(check, Status.DO, f"not offered in {region}", f"choose another: {where}")


def _begins(version: str, wanted: str) -> bool:
    return version == wanted or version.startswith(f"{wanted}.")


def _subjects(cloud: Cloud, config: StackConfig) -> Rows:
    """The subject's form, from the last sign-ins of GitHub's that CloudTrail has (90 days)."""
    repository = config.github.repository
    trusted = f"repo:{repository}:environment:{config.github.deploy_environment}"
    plain = "/".join(part.partition("@")[0] for part in repository.split("/"))
    found = cloud.read(
        "cloudtrail", "lookup_events", MaxResults=50,
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "AssumeRoleWithWebIdentity"}],
    )["Events"]  # fmt: skip
    came = [str(json.loads(each["CloudTrailEvent"]).get("userIdentity", {}).get("userName", "")) for each in found]
    forms = {
        subject.split(":")[1]
        for subject in came
        if subject.count(":") >= 2
        and "/".join(part.partition("@")[0] for part in subject.split(":")[1].split("/")) == plain
    }
    if not forms:
        how = f"gh api repos/{plain} --jq '\"\\(.owner.login)@\\(.owner.id)/\\(.name)@\\(.id)\"' (docs/deploy.md)"
        yield Row("GitHub's subject", Status.LOOK, f"{trusted} is trusted; none has come yet", how)
    elif repository in forms:
        yield Row("GitHub's subject", Status.OK, f"{trusted} is trusted, and this form has come")
    else:
        yield Row("GitHub's subject", Status.DO, f"{trusted} is trusted; {', '.join(sorted(forms))} came",
                  f"set github.repository: {min(forms)}")  # fmt: skip
