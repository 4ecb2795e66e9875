"""What must hold of the refusals of every domain of the Platform API."""

import ast
from functools import cache
from pathlib import Path
from types import ModuleType

from aldea.errors import ApiError
from backend.api.endpoint import DomainError, ErrorTable
from backend.app import ENDPOINTS

BACKEND = Path(__file__).resolve().parents[2] / "services" / "backend"


def check_refusals(errors: ModuleType) -> None:
    """Each refusal has an error of the contract that blames the client, is made by some code, and is documented.

    One without an error of the contract would be a 500, one that no endpoint names would be in no document.
    """
    refusals = {
        found
        for found in vars(errors).values()
        if isinstance(found, type) and issubclass(found, DomainError) and found.__module__ == errors.__name__
    }
    table: ErrorTable = errors.ERRORS
    assert refusals
    assert refusals <= table.keys(), "is in no table of errors"
    for refusal in refusals:
        error = table[refusal]
        assert issubclass(error, ApiError)
        assert 400 <= error.status < 500, f"{refusal.__name__} is said to be the platform's fault"
        endpoints = [endpoint for endpoint in ENDPOINTS if refusal in endpoint.raises]
        assert endpoints, f"{refusal.__name__} is documented by no endpoint"
        assert {endpoint.errors[refusal] for endpoint in endpoints} == {error}, f"{refusal.__name__} is two errors"
    assert {refusal.__name__ for refusal in refusals} <= made(), "is raised by nothing"


@cache
def made() -> set[str]:
    """What any code of the backend calls by a plain name."""
    return {
        node.func.id
        for path in BACKEND.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
