"""Who calls and what they may do: scopes, roles, callers, and the rule that an endpoint is guarded by."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from aldea.errors import InsufficientPermissions, ProjectNotFound

Role = Literal["owner", "admin", "member"]

# The contract's scopes: what an API key can be given.
SCOPES: Final = frozenset(
    {
        "keys:read", "keys:write", "usage:read", "usage:write", "members:read", "members:write",
        "project:read", "project:write", "billing:read",
    }
)  # fmt: skip
# Beyond the contract, for signed-in owners only.
DELETE_PROJECT: Final = "project:delete"
READ_AUDIT: Final = "audit:read"

ROLE_SCOPES: Final[Mapping[Role, frozenset[str]]] = {
    "member": frozenset({"project:read", "keys:read", "usage:read", "usage:write", "members:read", "billing:read"}),
    "admin": SCOPES,
    "owner": SCOPES | {DELETE_PROJECT, READ_AUDIT},
}


def expand(scopes: Iterable[str]) -> frozenset[str]:
    """A key's scopes in the contract's words; the public API also takes a role's name as a scope."""
    expanded: set[str] = set()
    for scope in scopes:
        expanded |= (ROLE_SCOPES[scope] & SCOPES) if scope in ROLE_SCOPES else {scope}  # type: ignore[index]
    return frozenset(expanded)


def lent(scopes: Iterable[str], maker: Role | None) -> frozenset[str]:
    """What a key may do now whose maker has this role: a right that its maker lost is lost to the key.

    None: the maker is no member any more, so the key may do what every member may.
    """
    return expand(scopes) & ROLE_SCOPES[maker or "member"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCaller:
    """A request with an API key. `user_id`: the member whom the key counts as theirs, None: the platform made it."""

    sha256: str
    key_id: str
    project_id: str
    scopes: frozenset[str]
    user_id: str | None
    expires: float | None = None
    operator: bool = False

    def scopes_in(self, project_id: str) -> frozenset[str] | None:
        """What the caller may do in this project; None: they may not know that it exists."""
        return self.scopes if project_id == self.project_id else None

    @property
    def project_ids(self) -> tuple[str, ...]:
        """The projects that the caller may know of."""
        return (self.project_id,)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCaller:
    """A request of a signed-in user. `roles`: by project id. `expires`: Unix seconds."""

    sha256: str
    user_id: str
    email: str
    name: str
    operator: bool
    roles: Mapping[str, Role] = field(default_factory=dict)
    expires: float | None = None

    def scopes_in(self, project_id: str) -> frozenset[str] | None:
        """What the caller may do in this project; None: they may not know that it exists."""
        role = self.roles.get(project_id)
        return None if role is None else ROLE_SCOPES[role]

    @property
    def project_ids(self) -> tuple[str, ...]:
        """The projects that the caller may know of."""
        return tuple(self.roles)


Caller: TypeAlias = KeyCaller | SessionCaller


@dataclass(frozen=True, slots=True)
class Public:
    """Anybody."""


@dataclass(frozen=True, slots=True)
class AnyCaller:
    """An API key or a session."""

    def check(self, caller: Caller) -> None:
        """Nothing more is checked here; the endpoint checks the caller itself."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session; an API key stands for a program, not for a person."""

    def check(self, caller: Caller) -> None:
        """Raise InsufficientPermissions for a key."""
        if not isinstance(caller, SessionCaller):
            raise InsufficientPermissions("This address takes a signed-in session, not an API key. Sign in first.")


@dataclass(frozen=True, slots=True)
class Operator:
    """A session of one of the platform's operators."""

    def check(self, caller: Caller) -> None:
        """Raise InsufficientPermissions for everybody else."""
        if not caller.operator:
            raise InsufficientPermissions("This address is for operators of the platform.")


@dataclass(frozen=True, slots=True)
class InProject:
    """A caller with `scope` in the project that the path names. `signed_in`: as a person, so not by an API key."""

    scope: str
    signed_in: bool = False

    def check_in(self, caller: Caller, project_id: str) -> None:
        """Raise ProjectNotFound if the project is none of the caller's, InsufficientPermissions without the scope."""
        scopes = caller.scopes_in(project_id)
        if scopes is None:
            raise ProjectNotFound("No such project, or none that this credential may see.")
        if self.scope not in scopes:
            raise InsufficientPermissions(
                f"This needs the scope {self.scope}, which the credential lacks in this project. "
                "Use a key with that scope, or ask an owner of the project."
            )
        if self.signed_in:
            SignedIn().check(caller)


Access: TypeAlias = Public | AnyCaller | SignedIn | Operator | InProject
