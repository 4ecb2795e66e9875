"""The AsyncAPI document as a page: channels, query, and the messages of both directions with an example each. Pure."""

from collections.abc import Iterable
from html import escape

from backend.reference.page import fields_table, prose, shape
from backend.reference.speech.asyncapi import SENT_BY_CLIENT, SENT_BY_SERVER, TURNS_BY_CLIENT, TURNS_BY_SERVER
from backend.reference.speech.guide import LIVE_REFERENCE, framed, slug
from backend.reference.speech.parameters import Json
from backend.reference.speech.realtime_schemas import BY_CLIENT, BY_SERVER


def live_page(document: Json) -> str:
    """The page of an AsyncAPI document as `document` of `backend.reference.speech.asyncapi` makes it."""
    info = document["info"]
    channels = document["channels"].values()
    rows = "".join(
        f"<tr><th scope=row><code>{escape(found['address'])}</code></th><td>{escape(found['description'])}</td></tr>"
        for found in channels
    )
    main = f"""<h1>{escape(info["title"])}</h1>
{prose(info["description"])}
<p><a href="/docs/asyncapi.json">The AsyncAPI {escape(document["asyncapi"])} document</a></p>
<h2 id="addresses">Addresses</h2><table>{rows}</table>
<h2 id="query">Query</h2>{_query(document, "listen")}
<h2 id="turn-query">Query of /v2/listen</h2>{_query(document, "turns")}
<h2 id="messages">Messages of a client</h2>{_messages(document, (*SENT_BY_CLIENT, *TURNS_BY_CLIENT))}
<h2 id="server-messages">Messages of the server</h2>{_messages(document, SENT_BY_SERVER)}
<h2 id="turn-messages">Messages of the server on /v2/listen</h2>{_messages(document, TURNS_BY_SERVER)}
<h2 id="realtime-query">Query of /v1/realtime</h2>{_query(document, "realtime")}
<h2 id="realtime-events">Events of a client on /v1/realtime</h2>{_messages(document, BY_CLIENT)}
<h2 id="realtime-server-events">Events of the server on /v1/realtime</h2>{_messages(document, BY_SERVER)}
"""
    return framed(LIVE_REFERENCE, info["title"], main)


def _messages(document: Json, names: Iterable[str]) -> str:
    return "".join(_message(document, name) for name in dict.fromkeys(names))


def _query(document: Json, channel: str) -> str:
    query = document["channels"][channel]["bindings"]["ws"]["query"]
    return fields_table(document, [(name, False, schema) for name, schema in query["properties"].items()])


def _message(document: Json, name: str) -> str:
    message = document["components"]["messages"][name]
    binary = message["contentType"] != "application/json"
    shown = "<p>A binary message.</p>" if binary else shape(document, message["payload"])
    return f'<h3 id="{slug(name)}">{escape(name)}</h3>{prose(message["summary"])}{shown}'
