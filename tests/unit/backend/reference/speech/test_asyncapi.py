"""The AsyncAPI document of the live wires: every reference leads where the specification wants it, all is described."""

from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from backend.reference.speech.asyncapi import (
    CHANNELS,
    SENT_BY_CLIENT,
    SENT_BY_SERVER,
    TURNS_BY_CLIENT,
    TURNS_BY_SERVER,
    document,
)
from backend.reference.speech.parameters import PARAMETERS, TURN_PARAMETERS
from backend.reference.speech.realtime_schemas import EVENTS
from backend.reference.speech.realtime_schemas import PARAMETERS as REALTIME_PARAMETERS
from tests.unit.backend.reference.test_document import references
from ws_proxy.app import PATHS
from ws_proxy.realtime import handler as realtime

DOCUMENT = document()


def at(reference: str) -> Any:
    found: Any = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


def test_it_has_what_the_specification_requires() -> None:
    # AsyncAPI 3.0.0: the root, servers, channels and operations with their required fields.
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    for server in DOCUMENT["servers"].values():
        assert {"host", "protocol"} <= server.keys()
        assert "/" not in server["host"]
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in {"send", "receive"}
        # A message of an operation is a reference to one of its own channel.
        channel = operation["channel"]["$ref"]
        assert at(channel)["address"]
        assert all(found["$ref"].startswith(f"{channel}/messages/") for found in operation["messages"])
    for channel in DOCUMENT["channels"].values():
        assert channel["bindings"]["ws"]["query"]["type"] == "object"


def test_every_reference_leads_somewhere_and_every_schema_is_json_schema() -> None:
    for found in references(DOCUMENT):
        assert at(found)
    for name, schema in DOCUMENT["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert schema["description"], name


def test_the_addresses_are_those_that_the_proxy_serves() -> None:
    assert {address for address, _ in CHANNELS.values()} <= {*PATHS, realtime.PATH}
    assert "/v2/listen" in PATHS


def test_all_messages_of_both_directions_are_described() -> None:
    messages = DOCUMENT["components"]["messages"]
    assert set(messages) == {*SENT_BY_CLIENT, *SENT_BY_SERVER, *TURNS_BY_CLIENT, *TURNS_BY_SERVER, *EVENTS}
    for message in messages.values():
        assert message["summary"]
        assert message["contentType"]


def test_the_query_has_every_parameter_of_live_streams() -> None:
    for name, channel in DOCUMENT["channels"].items():
        query = channel["bindings"]["ws"]["query"]["properties"]
        parameters = {"turns": TURN_PARAMETERS, "realtime": REALTIME_PARAMETERS}.get(name, PARAMETERS)
        assert set(query) == {parameter.name for parameter in parameters if parameter.live}
