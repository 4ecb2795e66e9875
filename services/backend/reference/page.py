"""The reference as one page of HTML: complete without a script, which only filters and tries. Pure."""

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

from backend.reference.document import KEY, Json

_METHODS: Final = ("get", "post", "put", "patch", "delete")


def page(document: Json, assets: str = "docs/") -> str:
    """The page of an OpenAPI document. `assets`: where its style and script are, as seen from its own address."""
    info = document["info"]
    operations = [
        (path, method, item[method])
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    ]
    tags = [tag["name"] for tag in document["tags"]]
    sections = {tag: [found for found in operations if found[2]["tags"] == [tag]] for tag in tags}
    menu = "".join(
        f'<li><a href="#{_anchor(tag)}">{escape(tag)}</a><ul>'
        + "".join(
            f'<li data-words="{escape(_words(*found), quote=True)}"><a href="#{found[2]["operationId"]}">'
            f"{_badge(found[1])} {escape(found[2]['summary'])}</a></li>"
            for found in members
        )
        + "</ul></li>"
        for tag, members in sections.items()
    )
    body = "".join(
        f'<section><h2 id="{_anchor(tag)}">{escape(tag)}</h2>'
        + "".join(_operation(document, *found) for found in members)
        + "</section>"
        for tag, members in sections.items()
    )
    title = escape(info["title"])
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{assets}reference.css">
<script src="{assets}reference.js" defer></script>
</head>
<body>
<nav aria-label="Operations">
<p class="brand">{title}</p>
<label for="filter">Filter</label>
<input id="filter" type="search" placeholder="keys, usage, POST …" autocomplete="off">
<ul>{menu}</ul>
</nav>
<main>
<header>
<h1>{title}</h1>
{prose(info["description"])}
<p><a href="openapi.json">The OpenAPI {escape(document["openapi"])} document</a></p>
<form hidden><label for="credential">Credential for trying calls; it stays in this page</label>
<input id="credential" type="password" placeholder="org_… or sess_…" autocomplete="off" spellcheck="false"></form>
</header>
{body}
</main>
</body>
</html>
"""


def _operation(document: Json, path: str, method: str, operation: Json) -> str:
    parameters = operation["parameters"]
    body = operation.get("requestBody")
    parts = [f'<div class="prose">{prose(operation["description"])}<p>{_callers(operation)}</p></div>']
    if parameters:
        parts.append(f"<h4>Parameters</h4>{fields_table(document, map(_as_field, parameters))}")
    if body is not None:
        optional = "" if body["required"] else " (optional)"
        parts.append(f"<h4>Body{optional}</h4>{_contents(document, body['content'])}")
    responses = "".join(_response(document, *found) for found in operation["responses"].items())
    parts.append(f"<h4>Responses</h4>{responses}")
    return f"""<details class="operation" id="{operation["operationId"]}" data-words="{
        escape(_words(path, method, operation), quote=True)
    }" data-method="{method.upper()}" data-path="{escape(path, quote=True)}">
<summary>{_badge(method)} <code>{escape(path)}</code> <span>{escape(operation["summary"])}</span></summary>
{"".join(parts)}
</details>
"""


def _callers(operation: Json) -> str:
    if not operation["security"]:
        return "Anybody may call this."
    [scopes, *_] = [scopes for allowed in operation["security"] for scopes in allowed.values()]
    by_key = any(KEY in allowed for allowed in operation["security"])
    who = "an API key or a signed-in member" if by_key else "a signed-in user only"
    needs = f", with <code>{escape(scopes[0])}</code>" if scopes else ""
    return f"By {who}{needs}."


def _response(document: Json, status: str, response: Json) -> str:
    contents = response.get("content", {})
    schema: Json = next((content["schema"] for content in contents.values()), {})
    codes = schema.get("properties", {}).get("err_code", {}).get("enum")
    failed = status >= "400"
    kind = "bad" if failed else "good"
    shown = "".join(f" <code>{escape(code)}</code>" for code in codes or ())
    shape = "" if failed or not schema else _contents(document, contents)
    return f'<div class="response {kind}"><p><b>{status}</b>{shown} {_inline(response["description"])}</p>{shape}</div>'


def _contents(document: Json, contents: Mapping[str, Json]) -> str:
    """Each form that a body may have; where there are several, by its media type."""
    return "".join(
        (f"<p><code>{escape(kind)}</code></p>" if len(contents) > 1 else "") + _choices(document, content["schema"])
        for kind, content in contents.items()
    )


def _choices(document: Json, schema: Json) -> str:
    return "".join(shape(document, choice) for choice in schema.get("anyOf", [schema]))


def shape(document: Json, schema: Json) -> str:
    """The fields of an object, and an example of it."""
    return _schema(document, schema) + _example(document, schema)


def _schema(document: Json, schema: Json) -> str:
    found = _resolved(document, schema)
    if "properties" not in found:
        return f"<p>{escape(_type(document, schema))}</p>"
    required = found.get("required", ())
    fields = [(name, name in required, field) for name, field in found["properties"].items()]
    return fields_table(document, fields)


def fields_table(document: Json, fields: Iterable[tuple[str, bool, Json]]) -> str:
    """A row for each field: its name, whether it is always there, its schema."""
    rows = "".join(
        f"<tr><th scope=row><code>{escape(name)}</code>{'' if required else '<i> optional</i>'}</th>"
        f"<td>{escape(_type(document, field))}</td><td>{_inline(field.get('description', ''))}"
        f"{_nested(document, field)}</td></tr>"
        for name, required, field in fields
    )
    return f"<table>{rows}</table>"


def _nested(document: Json, field: Json) -> str:
    inner = field.get("items", field)
    found = _resolved(document, inner)
    if "properties" not in found:
        return ""
    return f"<details><summary>fields</summary>{_schema(document, inner)}</details>"


def _as_field(parameter: Json) -> tuple[str, bool, Json]:
    described = {**parameter["schema"], "description": f"{parameter['description']}"}
    return parameter["name"], parameter["required"], described


def _type(document: Json, schema: Json) -> str:
    """A schema in a few words: its type, its choices or bounds."""
    found = _resolved(document, schema)
    if "enum" in found:
        return " | ".join(map(str, found["enum"]))
    if "const" in found:
        return str(found["const"])
    if "anyOf" in found:
        return " or ".join(_type(document, {"type": found.get("type"), **choice}) for choice in found["anyOf"])
    if found.get("type") == "array":
        return f"list of {_type(document, found.get('items', {}))}"
    words = [str(found.get("format") or found.get("type") or "any")]
    for low, high, unit in (("minimum", "maximum", ""), ("minLength", "maxLength", " characters")):
        if low in found and high in found:
            words.append(f"{found[low]} to {found[high]}{unit}")
        elif low in found or high in found:
            words.append(f"from {found[low]}{unit}" if low in found else f"up to {found[high]}{unit}")
    if found.get("default") not in (None, [], ""):
        words.append(f"default {json.dumps(found['default'])}")
    return ", ".join(words)


def _example(document: Json, schema: Json) -> str:
    found = _resolved(document, schema)
    if "properties" not in found:
        return ""
    return f"<pre>{escape(json.dumps(example(document, schema), indent=2))}</pre>"


def example(document: Json, schema: Json) -> Any:
    """What a value of `schema` looks like."""
    found = _resolved(document, schema)
    for name in ("const", "default"):
        if found.get(name) is not None:
            return found[name]
    if "enum" in found:
        return found["enum"][0]
    if "anyOf" in found:
        return example(document, found["anyOf"][0])
    kind = found.get("type")
    if kind == "object":
        return {name: example(document, field) for name, field in found.get("properties", {}).items()}
    if kind == "array":
        return [example(document, found.get("items", {}))]
    if kind in {"integer", "number"}:
        return found.get("minimum", 0)
    if kind == "boolean":
        return True
    return _TEXTS.get(str(found.get("format")), "text") if kind == "string" else None


_TEXTS: Final[Mapping[str, str]] = {
    "uuid": "018f6d2e-0000-7000-8000-000000000001",
    "date": "2026-03-31",
    "date-time": "2026-03-31T09:30:00Z",
}


def _resolved(document: Json, schema: Json) -> Json:
    if "$ref" not in schema:
        return schema
    found: Json = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return {**found, **{name: value for name, value in schema.items() if name != "$ref"}}


def prose(text: str) -> str:
    """Paragraphs whose `quoted` parts are code."""
    return "".join(f"<p>{_inline(part)}</p>" for part in text.strip().split("\n\n"))


def _inline(text: str) -> str:
    """Text whose `quoted` parts are code."""
    parts = escape(" ".join(text.split())).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def _words(path: str, method: str, operation: Json) -> str:
    return " ".join([method, path, operation["summary"], *operation["tags"]]).lower()


def _badge(method: str) -> str:
    return f'<span class="method {method}">{method.upper()}</span>'


def _anchor(tag: str) -> str:
    return "section-" + tag.lower().replace(" ", "-")
