"""What the contract's scopes are called, wherever the console speaks of them."""

from collections.abc import Iterable
from typing import Final

# Scope, its name, whether a new key has it by default; in the order of how often they are wanted.
SCOPES: Final = (
    ("usage:write", "Transcribe", True),
    ("usage:read", "Read usage", True),
    ("billing:read", "Read balances", False),
    ("project:read", "Read the project", False),
    ("project:write", "Change the project", False),
    ("keys:read", "List keys", False),
    ("keys:write", "Create and revoke keys", False),
    ("members:read", "List members", False),
    ("members:write", "Manage members", False),
)
SCOPE_NAMES: Final = {scope: name for scope, name, _ in SCOPES}


def named(scopes: Iterable[str]) -> str:
    """Scopes in words, with commas between; one that has no name here stays."""
    return ", ".join(SCOPE_NAMES.get(scope, scope) for scope in scopes)
