"""Holds registered inputs against the provider's own argument classes: unknown properties, missing required ones.

The resource classes check their own keyword arguments, but a dictionary in place of an argument class passes unread,
and its misspelt key would come to light at the deployment only.
"""

import importlib
import inspect
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import pulumi
from pulumi import _types as schema  # the SDK's own map between Python and wire names; there is no public way to it


def faults(type_: str, inputs: Mapping[str, Any]) -> list[str]:
    """Where these inputs do not fit the resource type. Components of ours and provider resources are not looked at."""
    arguments = _arguments_of(type_)
    return [] if arguments is None else list(_faults(arguments, inputs, type_))


@cache
def _arguments_of(type_: str) -> type | None:
    """The provider's `XArgs` class of a type token such as `aws:lb/listener:Listener`."""
    package, module, name = type_.split(":")
    if package in {"aldea", "pulumi"}:
        return None
    home = f"pulumi_{package.replace('-', '_')}"
    if module != "index":
        home += "." + module.partition("/")[0]
    # Beside the resource class itself; where a nested argument class has taken the name, it is called XInitArgs.
    beside = sys.modules[getattr(importlib.import_module(home), name).__module__]
    return cast("type", getattr(beside, f"{name}InitArgs", None) or getattr(beside, f"{name}Args"))


@dataclass(frozen=True, slots=True)
class _Shape:
    """What an argument class takes, by wire names."""

    kinds: Mapping[str, Any]
    required: frozenset[str]


@cache
def _shape(arguments: type) -> _Shape:
    names = schema.input_type_py_to_pulumi_names(arguments)
    kinds = schema.input_type_types(arguments)
    parameters = inspect.signature(arguments).parameters
    return _Shape(
        kinds={key: kinds.get(key) for key in names.values()},
        required=frozenset(key for name, key in names.items() if parameters[name].default is inspect.Parameter.empty),
    )


def _faults(arguments: type, given: Mapping[str, Any], where: str) -> Iterator[str]:
    shape = _shape(arguments)
    for key in sorted(set(given) - set(shape.kinds)):
        yield f"{where}: unknown property {key}"
    for key in sorted(shape.required - set(given)):
        yield f"{where}: missing required property {key}"
    for key, value in given.items():
        if value is None:
            # An output that the made-up cloud does not give: what hangs on it would pass unseen.
            yield f"{where}: {key} is null; give the output that it comes from in aldea_infra.offline.mocks"
        yield from _nested(shape.kinds.get(key), value, f"{where}.{key}")


def _nested(kind: Any, value: Any, where: str) -> Iterator[str]:
    """Look into the value as far as the annotation names argument classes."""
    kind = _bare(kind)
    if isinstance(kind, type) and schema.is_input_type(kind) and isinstance(value, Mapping):
        yield from _faults(kind, value, where)
    elif isinstance(value, list) and typing.get_origin(kind) in {Sequence, list}:
        for index, item in enumerate(value):
            yield from _nested(typing.get_args(kind)[0], item, f"{where}[{index}]")


def _bare(kind: Any) -> Any:
    """The one class of an annotation behind Input, Output and Optional: an argument class before anything else."""
    if typing.get_origin(kind) not in {typing.Union, types.UnionType, pulumi.Output}:
        return kind
    parts = [_bare(part) for part in typing.get_args(kind)]
    return next(
        (part for part in parts if isinstance(part, type) and schema.is_input_type(part) and not _is_typed_dict(part)),
        next((part for part in parts if typing.get_origin(part) in {Sequence, list}), parts[0]),
    )


def _is_typed_dict(part: type) -> bool:
    return issubclass(part, dict)
