"""Requests and responses of the accounts' endpoints."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from backend.accounts.devices import MAX_CHARACTERS as MAX_DEVICE_CHARACTERS
from backend.accounts.passwords import MAX_CHARACTERS, MIN_CHARACTERS
from backend.api.access import Role
from backend.api.endpoint import Body, Changes, ResponseModel
from backend.api.faults import NEW_EMAIL, SOMETHING_TO_READ, Incomplete, spelled
from backend.projects.models import ProjectName

# What can be an address at all (RFC 5321 section 4.5.3.1: 254 characters); no mail is sent, so none is proved. It has
# to find accounts and invites of before the rule for new ones, too.
Email = Annotated[
    str,
    Field(
        max_length=254,
        pattern=spelled("an e-mail address, as name@example.com", r"^[^\s@\x00-\x20\x7f]+@[^\s@\x00-\x20\x7f]+$"),
        description="An e-mail address",
    ),
]
NewEmail = Annotated[str, Field(max_length=254, pattern=NEW_EMAIL, description="An e-mail address")]
NewPassword = Annotated[str, Field(min_length=MIN_CHARACTERS, max_length=MAX_CHARACTERS, description="A new password")]
# Any text that might be somebody's password; what is too long for one is not worth hashing.
GivenPassword = Annotated[str, Field(max_length=MAX_CHARACTERS, description="The present password")]
PersonName = Annotated[
    str, Field(min_length=1, max_length=100, pattern=SOMETHING_TO_READ, description="First and last name")
]
# What a browser sends of its last sign-in. It may be missing or out of date, and is then ignored.
DeviceToken = Annotated[
    str, Field(max_length=MAX_DEVICE_CHARACTERS, description="The device_token of an earlier sign-in from this device")
]
Replaced = Annotated[
    str, Field(max_length=200, description="A session_token whose session ends when the new one begins")
]
SecretText = Annotated[str, Field(min_length=1, max_length=200, description="The token as it was handed out")]


class CreateAccount(Body):
    """A new account and its first project."""

    email: NewEmail
    password: NewPassword
    name: PersonName
    project_name: ProjectName = "My project"
    replaces: Replaced | None = None


class SignIn(Body):
    """Who signs in, and from where."""

    email: Email
    password: GivenPassword
    device_token: DeviceToken | None = None
    replaces: Replaced | None = None


class ChangePassword(Body):
    """A password in place of the present one."""

    current_password: GivenPassword
    new_password: NewPassword


class ChangeAccount(Changes):
    """What is to be another name or address from now on; what is left out stays."""

    name: PersonName | None = None
    email: NewEmail | None = None
    current_password: GivenPassword | None = Field(None, description="The present password, needed for another address")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.name is None and self.email is None:
            raise Incomplete("a current_password alone", "a name, an email, or both")
        if self.email is not None and self.current_password is None:
            raise Incomplete("an email alone", "an email together with the current_password")
        return self


class DeleteAccount(Body):
    """Whose account it is, proved once more."""

    current_password: GivenPassword


class UseReset(Body):
    """A password in place of a forgotten one."""

    token: SecretText
    new_password: NewPassword


class IssueReset(Body):
    """Whose password was forgotten."""

    email: Email


class User(ResponseModel):
    """A person with an account. `operator`: of the platform itself."""

    user_id: str
    email: str
    name: str
    operator: bool


class KnownDevice(ResponseModel):
    """A proof that somebody gave the right password on this device: send it with later sign-ins from there.

    Tries from elsewhere then cannot slow them down. It opens nothing, and ends when the password changes.
    """

    device_token: str
    device_expires: datetime


class SignedIn(KnownDevice):
    """A new session. Its token is shown this once; send it as `Authorization: Bearer …`."""

    session_token: str
    expires: datetime
    user: User


class PasswordChanged(KnownDevice):
    """The password was changed; this device is known by a new proof."""

    message: str


class Membership(ResponseModel):
    """A project of the signed-in user, and their role in it."""

    project_id: str
    name: str
    role: Role
    state: Literal["active", "suspended"]


class Me(ResponseModel):
    """The signed-in user and their projects, oldest first."""

    user: User
    projects: list[Membership]


class IssuedReset(ResponseModel):
    """A password reset to hand to its user, shown this once."""

    token: str
    expires: datetime
