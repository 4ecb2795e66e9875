"""AWS's rules in prose for stores and queues: RDS, ElastiCache, SQS, Secrets Manager, KMS, S3 and ECR."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from aldea_infra.checks.prose_rules import is_name, states, together
from aldea_infra.offline.graph import Graph, Registered

DATABASE: Final = "aws:rds/instance:Instance"
REDIS: Final = "aws:elasticache/replicationGroup:ReplicationGroup"
QUEUE: Final = "aws:sqs/queue:Queue"
# Of RDS for PostgreSQL, below which gp3's IOPS and throughput cannot be chosen (RDS user guide, "gp3 storage").
GP3_CHOICE_GB: Final = 400
RESERVED_USERS: Final = frozenset({"admin", "postgres", "rdsadmin", "rds_superuser", "rdsrepladmin", "user"})
# The smallest Redis node types that snapshots are refused on (ElastiCache API reference, CreateReplicationGroup).
NO_SNAPSHOTS: Final = frozenset({"cache.t1.micro"})


@states(DATABASE, "RDS API reference, CreateDBInstance, DBInstanceIdentifier, DBName, MasterUsername")
def database_names_are_accepted(_: Graph, database: Registered) -> Iterator[str]:
    """Names of the instance, the database, its user and its last snapshot."""
    for key, most in (("identifier", 63), ("finalSnapshotIdentifier", 255)):
        value = database.inputs.get(key)
        if value is not None and not is_name(value, most):
            yield f"{key} is {value!r}; allowed: up to {most} letters, digits and single hyphens"
    name, user = database.inputs.get("dbName", "x"), database.inputs.get("username", "x")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", name):
        yield f"dbName is {name!r}; allowed: 1 to 63 letters, digits and underscores, the first a letter"
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,62}", user) or user.lower() in RESERVED_USERS:
        yield f"username is {user!r}; allowed: 1 to 63 letters, digits and underscores, and no reserved word"


@states(DATABASE, "RDS API reference, CreateDBInstance, ManageMasterUserPassword and MasterUserPassword")
def one_master_password(_: Graph, database: Registered) -> Iterator[str]:
    """RDS keeps it, or it is given; a key for it only where RDS keeps it."""
    managed = database.inputs.get("manageMasterUserPassword")
    if together(database.inputs, "manageMasterUserPassword", "password", "passwordWo"):
        yield "a password can't be specified if manageMasterUserPassword is turned on"
    if database.inputs.get("masterUserSecretKmsKeyId") and not managed:
        yield "masterUserSecretKmsKeyId is valid only if RDS manages the password"


@states(DATABASE, "RDS API reference, CreateDBInstance, AllocatedStorage, Iops, StorageThroughput, StorageType")
def storage_is_accepted(_: Graph, database: Registered) -> Iterator[str]:
    """Growing storage starts below its end; gp3 takes IOPS and throughput from 400 GB on, other types differ."""
    size, kind = database.inputs["allocatedStorage"], database.inputs.get("storageType", "gp2")
    most = database.inputs.get("maxAllocatedStorage")
    if not 20 <= size <= 65536:
        yield f"allocatedStorage is {size} GB; allowed: 20 to 65536"
    if most and most <= size:
        yield f"maxAllocatedStorage {most} GB must be above allocatedStorage {size} GB"
    if kind == "gp3" and size < GP3_CHOICE_GB and together({**database.inputs, "small": True}, "small", "iops"):
        yield f"gp3 takes no iops below {GP3_CHOICE_GB} GB"
    if database.inputs.get("storageThroughput") and (kind != "gp3" or size < GP3_CHOICE_GB):
        yield f"storageThroughput applies only to gp3 from {GP3_CHOICE_GB} GB on"
    if kind in {"io1", "io2"} and not database.inputs.get("iops"):
        yield f"{kind} requires iops"


@states(DATABASE, "RDS API reference, CreateDBInstance, MultiAZ, MonitoringInterval, KmsKeyId, PerformanceInsights…")
def what_goes_together_in_a_database(_: Graph, database: Registered) -> Iterator[str]:
    """Parameters that need or exclude one another."""
    given = database.inputs
    if together(given, "multiAz", "availabilityZone"):
        yield "availabilityZone can't be specified if the instance is Multi-AZ"
    if bool(given.get("monitoringInterval")) != bool(given.get("monitoringRoleArn")):
        yield "monitoringInterval other than 0 and monitoringRoleArn require each other"
    if given.get("kmsKeyId") and not given.get("storageEncrypted"):
        yield "a kmsKeyId is of encrypted storage"
    for key in ("performanceInsightsKmsKeyId", "performanceInsightsRetentionPeriod"):
        if given.get(key) and not given.get("performanceInsightsEnabled"):
            yield f"{key} is of enabled performance insights"
    if not given.get("skipFinalSnapshot") and not given.get("finalSnapshotIdentifier"):
        yield "without skipFinalSnapshot a deletion requires a finalSnapshotIdentifier"
    if not 0 <= given.get("backupRetentionPeriod", 1) <= 35:
        yield f"backupRetentionPeriod is {given['backupRetentionPeriod']}; allowed: 0 to 35"


@states(DATABASE, "RDS API reference, CreateDBParameterGroup, DBParameterGroupFamily")
def the_parameter_group_is_of_the_engine(graph: Graph, database: Registered) -> Iterator[str]:
    """The family is the engine's with its major version."""
    wanted = f"{database.inputs['engine']}{str(database.inputs['engineVersion']).partition('.')[0]}"
    for group in graph.of("aws:rds/parameterGroup:ParameterGroup"):
        if group.outputs.get("name") == database.inputs.get("parameterGroupName") and group.inputs["family"] != wanted:
            yield f"{group.name} is of the family {group.inputs['family']}; its engine needs {wanted}"


@states(DATABASE, "RDS user guide, working with a DB instance in a VPC")
def subnets_are_two(graph: Graph, _: Registered) -> Iterator[str]:
    """A subnet group covers two zones or more."""
    for group in graph.of("aws:rds/subnetGroup:SubnetGroup"):
        if len(set(group.inputs["subnetIds"])) < 2:
            yield f"{group.name} has fewer than two subnets, in two zones"


@states(
    REDIS, "ElastiCache API reference, CreateReplicationGroup, ReplicationGroupId, NumCacheClusters, MultiAZEnabled"
)
def failover_has_a_replica(_: Graph, redis: Registered) -> Iterator[str]:
    """Failover needs two nodes, Multi-AZ needs failover; six nodes at most."""
    nodes, failover = redis.inputs.get("numCacheClusters", 1), redis.inputs.get("automaticFailoverEnabled")
    name = redis.inputs["replicationGroupId"]
    if not is_name(name, 40):
        yield f"replicationGroupId is {name!r}; allowed: up to 40 letters, digits and single hyphens"
    if failover and nodes < 2:
        yield f"if automaticFailoverEnabled is true, numCacheClusters must be at least 2; got {nodes}"
    if redis.inputs.get("multiAzEnabled") and not failover:
        yield "multiAzEnabled requires automaticFailoverEnabled"
    if not 1 <= nodes <= 6:
        yield f"numCacheClusters is {nodes}; allowed: 1 to 6"
    zones = redis.inputs.get("preferredCacheClusterAzs")
    if zones and len(zones) != nodes:
        yield "the number of preferred zones must equal numCacheClusters"


@states(REDIS, "ElastiCache API reference, CreateReplicationGroup, AuthToken, TransitEncryptionEnabled, UserGroupIds")
def signing_in_needs_tls(_: Graph, redis: Registered) -> Iterator[str]:
    """A token and user groups exclude each other, and each needs TLS, which needs a subnet group."""
    given = redis.inputs
    encrypted = given.get("transitEncryptionEnabled")
    for key in ("authToken", "userGroupIds"):
        if given.get(key) and not encrypted:
            yield f"{key} can be specified only where transitEncryptionEnabled is true"
    if together(given, "authToken", "userGroupIds"):
        yield "a replication group has an authToken or user groups"
    if len(given.get("userGroupIds", [])) > 1:
        yield "a replication group has one user group"
    if encrypted and not given.get("subnetGroupName"):
        yield "with in-transit encryption a subnet group must be specified"
    if given.get("transitEncryptionMode") and not encrypted:
        yield "transitEncryptionMode is of in-transit encryption"


@states(
    REDIS, "ElastiCache API reference, CreateReplicationGroup, SnapshotRetentionLimit, KmsKeyId, DataTieringEnabled"
)
def what_goes_together_in_redis(graph: Graph, redis: Registered) -> Iterator[str]:
    """Snapshots, keys, tiers and the parameter group's family."""
    given, node = redis.inputs, str(redis.inputs["nodeType"])
    if given.get("snapshotRetentionLimit") and node in NO_SNAPSHOTS:
        yield f"{node} takes no snapshots"
    if given.get("kmsKeyId") and not given.get("atRestEncryptionEnabled"):
        yield "a kmsKeyId is of encryption at rest"
    if node.startswith("cache.r6gd.") != bool(given.get("dataTieringEnabled")):
        yield "dataTieringEnabled must be true with r6gd nodes, and with no others"
    wanted = f"{given['engine']}{str(given['engineVersion']).partition('.')[0]}"
    for group in graph.of("aws:elasticache/parameterGroup:ParameterGroup"):
        if group.outputs.get("name") == given.get("parameterGroupName") and group.inputs["family"] != wanted:
            yield f"{group.name} is of the family {group.inputs['family']}; the engine needs {wanted}"


@states("aws:elasticache/userGroup:UserGroup", "ElastiCache user guide, Role-Based Access Control; CreateUserGroup")
def a_user_group_has_its_default(graph: Graph, group: Registered) -> Iterator[str]:
    """A group has a user named `default`, no name twice, and users of its own engine alone."""
    users = {each.inputs["userId"]: each for each in graph.of("aws:elasticache/user:User")}
    held = [users[user] for user in group.inputs["userIds"] if user in users]
    yield from (f"{user} is no user of the stack" for user in group.inputs["userIds"] if user not in users)
    names = [each.inputs["userName"] for each in held]
    if group.inputs["engine"] == "redis" and names.count("default") != 1:
        yield f"it must have one user with the userName default; got {names.count('default')}"
    if len(names) != len(set(names)):
        yield f"two of its users have one name: {sorted(names)}"
    for each in held:
        if str(each.inputs["engine"]).lower() != str(group.inputs["engine"]).lower():
            yield f"{each.name} is of the engine {each.inputs['engine']}"


@states(
    "aws:elasticache/user:User", "ElastiCache API reference, CreateUser, Passwords, NoPasswordRequired, AccessString"
)
def a_user_signs_in_one_way(_: Graph, user: Registered) -> Iterator[str]:
    """Two passwords of 16 to 128 characters at most, or none by name; an access string begins on or off."""
    passwords = user.inputs.get("passwords", [])
    mode = (user.inputs.get("authenticationMode") or {}).get("type")
    if sum((bool(passwords), bool(user.inputs.get("noPasswordRequired")), mode is not None)) != 1:
        yield "it has passwords, noPasswordRequired or an authenticationMode: one of them"
    if len(passwords) > 2 or any(not 16 <= len(each) <= 128 for each in passwords):
        yield "it has at most two passwords of 16 to 128 characters"
    if len(passwords) != len(set(passwords)):
        yield "its passwords are one"
    words = user.inputs["accessString"].split()
    if not words or words[0] not in {"on", "off"}:
        yield "its access string must begin with on or off"
    wrong = [
        word
        for word in words[1:]
        if not re.match(r"^([~&+-]|%(R|W|RW)~|\(|allkeys|allchannels|reset|nocommands)", word)
    ]
    if wrong:
        yield f"its access string has {wrong[0]!r}, which is no rule"


@states(QUEUE, "SQS API reference, CreateQueue, Attributes, RedrivePolicy and RedriveAllowPolicy")
def dead_letters_have_their_queue(graph: Graph, queue: Registered) -> Iterator[str]:
    """The dead-letter queue is of the same kind, keeps longer, and allows this source."""
    if "redrivePolicy" not in queue.inputs:
        return
    policy = queue.json("redrivePolicy")
    if (
        set(policy) != {"deadLetterTargetArn", "maxReceiveCount"}
        or not 1 <= int(policy.get("maxReceiveCount", 0)) <= 1000
    ):
        yield f"a redrive policy has deadLetterTargetArn and maxReceiveCount of 1 to 1000; got {policy}"
        return
    found = [each for each in graph.of(QUEUE) if each.outputs["arn"] == policy["deadLetterTargetArn"]]
    if not found:
        yield f"{policy['deadLetterTargetArn']} is no queue of the stack"
        return
    dead = found[0]
    if bool(dead.inputs.get("fifoQueue")) != bool(queue.inputs.get("fifoQueue")):
        yield "the dead-letter queue of a standard queue must be standard, of a FIFO queue FIFO"
    if dead.inputs.get("messageRetentionSeconds", 345600) < queue.inputs.get("messageRetentionSeconds", 345600):
        yield "messages expire in the dead-letter queue before they would here: their age goes on"
    if dead is queue:
        yield "a queue is not its own dead-letter queue"
    for allowed in graph.of("RedriveAllowPolicy"):
        document = allowed.json("redriveAllowPolicy")
        if allowed.inputs["queueUrl"] == dead.outputs.get("url", dead.id):
            yield from _allows(document, queue.outputs["arn"])


def _allows(document: Any, source: str) -> Iterator[str]:
    permission, sources = document.get("redrivePermission"), document.get("sourceQueueArns")
    if (permission == "byQueue") != (sources is not None) or len(sources or ()) > 10:
        yield "sourceQueueArns (at most 10) are given when redrivePermission is byQueue, and not otherwise"
    elif permission == "denyAll" or (sources is not None and source not in sources):
        yield "its dead-letter queue does not allow it as a source"


@states(QUEUE, "SQS API reference, CreateQueue, QueueName, Attributes")
def a_queue_is_accepted(_: Graph, queue: Registered) -> Iterator[str]:
    """Names, ranges, and one kind of encryption."""
    name, fifo = queue.inputs["name"], bool(queue.inputs.get("fifoQueue"))
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name.removesuffix(".fifo")) or len(name) > 80:
        yield f"name is {name!r}; allowed: up to 80 letters, digits, hyphens, underscores"
    if name.endswith(".fifo") != fifo:
        yield "a FIFO queue's name must end in .fifo, and no other's"
    if together(queue.inputs, "sqsManagedSseEnabled", "kmsMasterKeyId"):
        yield "it is encrypted with SQS's keys or with a KMS key"
    ranges = {
        "visibilityTimeoutSeconds": (0, 43200),
        "messageRetentionSeconds": (60, 1209600),
        "delaySeconds": (0, 900),
        "receiveWaitTimeSeconds": (0, 20),
        "maxMessageSize": (1024, 1048576),
    }
    for key, (least, most) in ranges.items():
        if key in queue.inputs and not least <= queue.inputs[key] <= most:
            yield f"{key} is {queue.inputs[key]}; allowed: {least} to {most}"


@states("aws:secretsmanager/secret:Secret", "Secrets Manager API reference, DeleteSecret, RecoveryWindowInDays")
def a_secrets_window_is_accepted(_: Graph, secret: Registered) -> Iterator[str]:
    """None at all, or 7 to 30 days."""
    days = secret.inputs.get("recoveryWindowInDays", 30)
    if days != 0 and not 7 <= days <= 30:
        yield f"recoveryWindowInDays is {days}; allowed: 0, or 7 to 30"


@states("aws:secretsmanager/secretVersion:SecretVersion", "Secrets Manager API reference, PutSecretValue, SecretString")
def a_secret_has_one_value(_: Graph, version: Registered) -> Iterator[str]:
    """A string or bytes, of 65,536 bytes at most."""
    if bool(version.inputs.get("secretString")) == bool(version.inputs.get("secretBinary")):
        yield "either secretString or secretBinary must have a value, but not both"
    if len(str(version.inputs.get("secretString", "")).encode()) > 65536:
        yield "its value has more than 65536 bytes"


@states("aws:kms/key:Key", "KMS API reference, ScheduleKeyDeletion, EnableKeyRotation and CreateKey, Policy")
def a_key_can_be_managed(_: Graph, key: Registered) -> Iterator[str]:
    """A window of 7 to 30 days, rotation of symmetric keys, and a policy that does not lock its account out."""
    if not 7 <= key.inputs.get("deletionWindowInDays", 30) <= 30:
        yield f"deletionWindowInDays is {key.inputs['deletionWindowInDays']}; allowed: 7 to 30"
    symmetric = key.inputs.get("customerMasterKeySpec", "SYMMETRIC_DEFAULT") == "SYMMETRIC_DEFAULT"
    if key.inputs.get("enableKeyRotation") and not symmetric:
        yield "only symmetric keys rotate"
    if "policy" in key.inputs:
        actions = {
            action
            for each in key.json("policy")["Statement"]
            if each["Effect"] == "Allow" and "AWS" in each.get("Principal", {}) and not each.get("Condition")
            for action in each["Action"]
        }
        if not actions & {"kms:*", "kms:PutKeyPolicy"}:
            yield "its policy lets nobody of the account change it: KMS refuses such a key"


@states("aws:s3/bucketPolicy:BucketPolicy", "S3 user guide, bucket policies; ELB user guide, access logs")
def a_bucket_policy_is_of_its_bucket(graph: Graph, policy: Registered) -> Iterator[str]:
    """Every resource lies in the bucket; who writes the load balancer's logs may, below AWSLogs/."""
    bucket = graph.by_output("id", policy.inputs["bucket"])
    arn = bucket.outputs["arn"]
    found = policy.json("policy")["Statement"]
    for each in found:
        for resource in each["Resource"]:
            if resource != arn and not resource.startswith(f"{arn}/"):
                yield f"{resource} is not in the bucket {arn}"
        if "s3:GetBucketAcl" in each["Action"] and arn not in each["Resource"]:
            yield "s3:GetBucketAcl is of the bucket, not of what is in it"
    for balancer in graph.of("LoadBalancer"):
        logs = balancer.inputs.get("accessLogs") or {}
        if logs.get("enabled") and logs.get("bucket") == bucket.outputs.get("bucket"):
            prefix = f"{logs['prefix']}/" if logs.get("prefix") else ""
            if not any(
                each["Effect"] == "Allow" and "s3:PutObject" in each["Action"]
                and any(resource.startswith(f"{arn}/{prefix}AWSLogs/") for resource in each["Resource"])
                for each in found
            ):  # fmt: skip
                yield f"the load balancer may not write its logs below {prefix}AWSLogs/"


@states("LoadBalancer", "ELB user guide, access logs: server-side encryption")
def access_logs_have_s3s_key(graph: Graph, balancer: Registered) -> Iterator[str]:
    """Access logs are written to buckets with S3's own keys only."""
    logs = balancer.inputs.get("accessLogs") or {}
    for each in graph.of("BucketServerSideEncryptionConfiguration"):
        bucket = graph.by_output("id", each.inputs["bucket"])
        kinds = {rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"] for rule in each.inputs["rules"]}
        if logs.get("enabled") and bucket.outputs.get("bucket") == logs.get("bucket") and kinds != {"AES256"}:
            yield f"access logs need the encryption AES256; got {', '.join(sorted(kinds))}"


@states("aws:ecr/lifecyclePolicy:LifecyclePolicy", "ECR user guide, lifecycle policy parameters")
def lifecycle_rules_are_accepted(_: Graph, policy: Registered) -> Iterator[str]:
    """One priority a rule, prefixes or patterns for tagged images, days for ages, and `any` last and once."""
    rules = policy.json("policy")["rules"]
    priorities = [each["rulePriority"] for each in rules]
    if len(priorities) != len(set(priorities)):
        yield f"two rules have one priority: {priorities}"
    for each in rules:
        selection = each["selection"]
        tagged, by_age = selection["tagStatus"] == "tagged", selection["countType"] != "imageCountMoreThan"
        if tagged != bool(selection.get("tagPrefixList") or selection.get("tagPatternList")):
            yield f"rule {each['rulePriority']}: tag prefixes or patterns are of tagged images, and required there"
        if by_age != (selection.get("countUnit") == "days"):
            yield f"rule {each['rulePriority']}: countUnit days is of an age, and required there"
        if selection["tagStatus"] == "any" and each["rulePriority"] != max(priorities):
            yield f"rule {each['rulePriority']}: a rule for any image must have the highest priority"
        if int(selection.get("countNumber", 0)) < 1:
            yield f"rule {each['rulePriority']}: countNumber must be at least 1"


@states("aws:ecr/repository:Repository", "ECR API reference, CreateRepository, repositoryName, EncryptionConfiguration")
def a_repository_is_accepted(_: Graph, repository: Registered) -> Iterator[str]:
    """A name of lower-case letters, and a key with KMS only."""
    if not re.fullmatch(
        r"[a-z0-9]+([._-]{1,2}[a-z0-9]+)*(/[a-z0-9]+([._-]{1,2}[a-z0-9]+)*)*", repository.inputs["name"]
    ):
        yield f"name is {repository.inputs['name']!r}; allowed: lower-case letters, digits and separators between them"
    for each in repository.inputs.get("encryptionConfigurations", []):
        if each.get("kmsKey") and each.get("encryptionType") != "KMS":
            yield f"a kmsKey is of the encryption KMS; got {json.dumps(each)}"
