"""A given SQS endpoint: that it responds, takes the credentials, and has both usage queues."""

import json
import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError

from aldea.redaction import redact_text
from onebox import stores
from onebox.given.errors import Unusable, not_reached, one_line, parts_of

EXAMPLE: Final = "http://host:9324, or https:// for AWS itself"
# Longer than the deadline of all checks, which says it in its own words.
_SECONDS: Final = 30.0
_MISSING: Final = ("NonExistentQueue", "QueueDoesNotExist")


def queue_urls(environment: Mapping[str, str]) -> dict[str, str]:
    """The usage queue and its dead-letter queue at a given endpoint, as USAGE_QUEUE_URL and USAGE_DLQ_URL name them."""
    base = f"{environment['SQS_ENDPOINT_URL'].strip().rstrip('/')}/{stores.SQS_ACCOUNT}"
    return {
        "USAGE_QUEUE_URL": environment.get("USAGE_QUEUE_URL") or f"{base}/{stores.USAGE_QUEUE}",
        "USAGE_DLQ_URL": environment.get("USAGE_DLQ_URL") or f"{base}/{stores.USAGE_DLQ}",
    }


async def check(environment: Mapping[str, str], *, create: bool) -> str:
    """That both queues are at the endpoint; `create` makes them if they are not. Raises Unusable."""
    endpoint = environment["SQS_ENDPOINT_URL"].strip()
    where = _address("SQS_ENDPOINT_URL", endpoint)
    urls = queue_urls(environment)
    for variable, url in urls.items():
        _address(variable, url)
    try:
        async with get_session().create_client(
            "sqs",
            region_name=environment.get("AWS_REGION") or stores.AWS_ENV["AWS_DEFAULT_REGION"],
            endpoint_url=endpoint,
            config=AioConfig(connect_timeout=_SECONDS, read_timeout=_SECONDS, retries={"total_max_attempts": 1}),
        ) as client:
            missing = [url for url in urls.values() if not await _exists(client, url)]
            if missing and create:
                await _create(client, urls["USAGE_QUEUE_URL"], urls["USAGE_DLQ_URL"])
                missing = [url for url in urls.values() if not await _exists(client, url)]
    except NoCredentialsError:
        raise Unusable(
            f"there are no AWS credentials to call {where} with. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
            "an emulator accepts any."
        ) from None
    except EndpointConnectionError as error:
        raise not_reached(where, _cause(error)) from None
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        raise Unusable(f"{where} refuses: {redact_text(str(code) + ': ' + one_line(error))}.") from None
    except (BotoCoreError, aiohttp.ClientError, ValueError, KeyError) as error:
        raise Unusable(
            f"what listens on {where} does not respond as SQS does ({redact_text(one_line(error))}). "
            "Correct the address."
        ) from None
    except OSError as error:
        raise not_reached(where, error) from None
    if missing:
        raise Unusable(
            f"these queues do not exist: {', '.join(missing)}. Name others by USAGE_QUEUE_URL and USAGE_DLQ_URL, or "
            "have them made: make run ARGS=--create-queues"
        )
    return f"SQS on {where} with both queues"


def _address(variable: str, url: str) -> str:
    parts = parts_of(url, EXAMPLE, what=variable)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Unusable(f"{variable} does not begin with http:// or https:// and a host; allowed: {EXAMPLE}.")
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _cause(error: EndpointConnectionError) -> BaseException:
    """The operating system's error, which the library hands on inside its own, or as its text alone."""
    inner = error.kwargs.get("error")
    if isinstance(inner, aiohttp.ClientConnectorError):
        return inner.os_error
    return inner if isinstance(inner, BaseException) else error


async def _exists(client: Any, url: str) -> bool:
    try:
        await client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    except ClientError as error:
        if any(code in str(error.response.get("Error", {}).get("Code", "")) for code in _MISSING):
            return False
        raise
    return True


async def _create(client: Any, usage: str, dead_letters: str) -> None:
    kept = {"MessageRetentionPeriod": stores.RETENTION_SECONDS}
    made = await client.create_queue(QueueName=os.path.basename(urlsplit(dead_letters).path), Attributes=kept)  # noqa: PTH119
    found = await client.get_queue_attributes(QueueUrl=made["QueueUrl"], AttributeNames=["QueueArn"])
    redrive = {
        "deadLetterTargetArn": found["Attributes"]["QueueArn"],
        "maxReceiveCount": str(stores.MAX_RECEIVE_COUNT),
    }
    await client.create_queue(
        QueueName=os.path.basename(urlsplit(usage).path),  # noqa: PTH119
        Attributes={**kept, "RedrivePolicy": json.dumps(redrive)},
    )
