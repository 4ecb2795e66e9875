"""mypy reads those modules of pulumi_aws that are listed in pyproject.toml; all others would be Any, unnoticed."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECKED = ("infra", "tests", "onebox", "services", "benchmarks")


def read_by_mypy() -> set[str]:
    """The names of AWS's services in the list of `follow_imports = "normal"`."""
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    [modules] = [one["module"] for one in overrides if one.get("follow_imports") == "normal"]
    return {name.split(".")[1] for name in modules if name.endswith(".*")}


def used_by(tree: ast.AST) -> Iterator[str]:
    """Modules of pulumi_aws that a program uses: `aws.name`, `from pulumi_aws import name`, `pulumi_aws.name`."""
    aliases = {"pulumi_aws"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                if one.name == "pulumi_aws" and one.asname:
                    aliases.add(one.asname)
                elif one.name.startswith("pulumi_aws."):
                    yield one.name.split(".")[1]
        elif isinstance(node, ast.ImportFrom) and node.module == "pulumi_aws":
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pulumi_aws."):
            yield str(node.module).split(".")[1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            yield node.attr


def used() -> set[str]:
    """Those of all programs that mypy reads."""
    found: set[str] = set()
    for folder in CHECKED:
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if "pulumi_aws" in text:
                found.update(used_by(ast.parse(text)))
    # Classes and functions of the package itself are no modules, and are always read.
    return {name for name in found if name.islower() and not name.startswith("get_")}


def test_every_module_of_pulumi_aws_that_is_used_is_read_by_mypy_and_no_other() -> None:
    assert used() == read_by_mypy()


@pytest.mark.parametrize(
    "program",
    [
        "import pulumi_aws as aws\naws.xray.Group('x')",
        "import pulumi_aws\npulumi_aws.xray.Group('x')",
        "import pulumi_aws.xray",
        "from pulumi_aws import xray",
        "from pulumi_aws.xray import Group",
        "from pulumi_aws.xray.group import Group",
    ],
)
def test_a_use_is_found_however_it_is_written(program: str) -> None:
    assert set(used_by(ast.parse(program))) == {"xray"}
