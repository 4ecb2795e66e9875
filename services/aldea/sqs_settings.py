"""Which settings a process reads that uses the queue; apart, since reading them needs nothing of AWS's library."""

from pydantic import Field

from aldea.settings import ServiceSettings


class SqsSettings(ServiceSettings):
    """Where the usage queue is; mixed into the settings of the services that use it."""

    aws_region: str = Field("us-west-2", description="an AWS region such as us-west-2")
    sqs_endpoint_url: str | None = Field(
        None, pattern="^https?://", description="the http(s) URL of an SQS-compatible endpoint; unset: AWS"
    )
    usage_queue_url: str = Field(pattern="^https?://", description="the http(s) URL of the usage queue")
    usage_dlq_url: str = Field(pattern="^https?://", description="the http(s) URL of the usage dead-letter queue")
