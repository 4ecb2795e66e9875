import os

import pytest

from aldea import sqs
from aldea.settings import read
from aldea.sqs_settings import SqsSettings
from onebox.given import queues
from onebox.given.errors import Unusable


def given(endpoint: str, name: str) -> dict[str, str]:
    return {
        "SQS_ENDPOINT_URL": endpoint,
        "USAGE_QUEUE_URL": f"{endpoint}/000000000000/{name}",
        "USAGE_DLQ_URL": f"{endpoint}/000000000000/{name}-dead",
    }


def test_queues_have_the_usual_names_unless_they_are_named() -> None:
    found = queues.queue_urls({"SQS_ENDPOINT_URL": "http://sqs:9324/"})
    assert found == {
        "USAGE_QUEUE_URL": "http://sqs:9324/000000000000/usage-updates-queue",
        "USAGE_DLQ_URL": "http://sqs:9324/000000000000/usage-updates-dlq",
    }
    named = given("http://sqs:9324", "mine")
    assert queues.queue_urls(named) == {name: named[name] for name in found}


async def test_missing_queues_are_named_and_made_when_that_is_requested(sqs_endpoint: str) -> None:
    environment = given(sqs_endpoint, f"usage-{os.urandom(4).hex()}")
    with pytest.raises(Unusable) as refused:
        await queues.check(environment, create=False)
    assert environment["USAGE_QUEUE_URL"] in str(refused.value)
    assert environment["USAGE_DLQ_URL"] in str(refused.value)
    assert "make run ARGS=--create-queues" in str(refused.value)

    assert (await queues.check(environment, create=True)).endswith("with both queues")
    assert await queues.check(environment, create=False)
    settings = read(
        SqsSettings,
        port=0,
        sqs_endpoint_url=sqs_endpoint,
        usage_queue_url=environment["USAGE_QUEUE_URL"],
        usage_dlq_url=environment["USAGE_DLQ_URL"],
    )
    async with sqs.connect(settings) as client:
        found = await client.get_queue_attributes(QueueUrl=settings.usage_queue_url, AttributeNames=["All"])
    assert f'{environment["USAGE_DLQ_URL"].rpartition("/")[2]}"' in found["Attributes"]["RedrivePolicy"]


async def test_no_credentials_are_said_to_be_missing(sqs_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Unusable, match=r"no AWS credentials .* an emulator accepts any"):
        await queues.check(given(sqs_endpoint, "any"), create=False)


async def test_a_queue_url_that_is_none_is_named_by_its_variable(sqs_endpoint: str) -> None:
    with pytest.raises(Unusable, match=r"^USAGE_DLQ_URL does not begin"):
        await queues.check({"SQS_ENDPOINT_URL": sqs_endpoint, "USAGE_DLQ_URL": "nonsense"}, create=False)
