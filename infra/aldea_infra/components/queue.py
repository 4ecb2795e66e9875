"""The usage queue and its dead-letter queue."""

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from aldea_infra.components import iam
from aldea_infra.components.imports import Adoption
from aldea_infra.components.naming import Names
from aldea_infra.config.sections import QueueSection

# The longest SQS keeps anything: a bill must outlast a long weekend.
# More than twice the worker's batch deadline; the worker sets its own with each receipt, so this is for tools.
VISIBILITY_SECONDS: Final = 150
RETENTION_SECONDS: Final = 14 * 24 * 3600


@dataclass(frozen=True, slots=True)
class UsageQueueArgs:
    """What the queues need to know."""

    queue: QueueSection
    names: Names
    protect: bool


class UsageQueue(pulumi.ComponentResource):
    """`queue` for readings on their way to PostgreSQL; `dead_letters` for what could not be stored.

    Both may hold what nobody was billed for yet: where the database is protected, they are.
    """

    def __init__(
        self, name: str, args: UsageQueueArgs, adoption: Adoption, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("aldea:queue:UsageQueue", name, None, opts)
        physical = args.names.prefixed(args.queue.name)
        self.dead_letters = aws.sqs.Queue(
            "usage-dlq",
            name=f"{physical}-dlq",
            message_retention_seconds=RETENTION_SECONDS,
            sqs_managed_sse_enabled=True,
            opts=adoption.options(self, "usage-dlq", protect=args.protect),
        )
        self.queue = aws.sqs.Queue(
            "usage-queue",
            name=physical,
            visibility_timeout_seconds=VISIBILITY_SECONDS,
            message_retention_seconds=RETENTION_SECONDS,
            receive_wait_time_seconds=20,
            sqs_managed_sse_enabled=True,
            redrive_policy=pulumi.Output.json_dumps(
                {"deadLetterTargetArn": self.dead_letters.arn, "maxReceiveCount": args.queue.max_receive_count}
            ),
            opts=adoption.options(self, "usage-queue", protect=args.protect),
        )
        aws.sqs.RedriveAllowPolicy(
            "usage-dlq",
            queue_url=self.dead_letters.url,
            redrive_allow_policy=pulumi.Output.json_dumps(
                {"redrivePermission": "byQueue", "sourceQueueArns": [self.queue.arn]}
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        for label, queue in (("usage-queue", self.queue), ("usage-dlq", self.dead_letters)):
            aws.sqs.QueuePolicy(
                label,
                queue_url=queue.url,
                policy=iam.document(iam.tls_only(queue.arn, "sqs:*")),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({"url": self.queue.url})
