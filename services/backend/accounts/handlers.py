"""The endpoints of accounts, sessions and passwords."""

from dataclasses import asdict
from typing import Final

from aiohttp import hdrs

from aldea.errors import TooManyRequests
from backend.accounts import models
from backend.accounts.errors import (
    ERRORS,
    AccountGone,
    AddressTaken,
    ResetUnusable,
    SignInRefused,
    StillMember,
    WeakPassword,
    WrongPassword,
)
from backend.accounts.own_account import OWN_ACCOUNT
from backend.accounts.repository import User
from backend.accounts.service import ACCOUNTS, NewSession
from backend.api.access import Operator, Public, SignedIn
from backend.api.client_address import counted_address
from backend.api.endpoint import Call, Endpoint, Message


async def create_account(call: Call) -> models.SignedIn:
    """Sign up: a new account that owns a first project, and a session of it."""
    body: models.CreateAccount = call.body
    session = await call.app[ACCOUNTS].sign_up(
        call.actor,
        email=body.email,
        password=body.password,
        name=body.name.strip(),
        project_name=body.project_name,
        address=_address(call),
        agent=_agent(call),
        replaces=body.replaces,
    )
    return _signed_in(session)


async def create_session(call: Call) -> models.SignedIn:
    """Sign in. An unknown address and a wrong password get the same response.

    After many wrong passwords for an account, whoever tries it has to come back after the time that Retry-After says;
    a device that is known, by its `device_token`, has not. Without that, a program or network that is new is an event,
    `sign_in.new_device`.
    """
    body: models.SignIn = call.body
    session = await call.app[ACCOUNTS].sign_in(
        email=body.email,
        password=body.password,
        address=_address(call),
        agent=_agent(call),
        device=body.device_token,
        replaces=body.replaces,
    )
    return _signed_in(session)


async def delete_session(call: Call) -> Message:
    """Sign out: the session of this request ends."""
    await call.app[ACCOUNTS].sign_out(call.session)
    return Message(message="Signed out.")


async def get_me(call: Call) -> models.Me:
    """The signed-in user, and the projects that they are a member of."""
    user, memberships = await call.app[ACCOUNTS].me(call.session.user_id)
    return models.Me(user=_user(user), projects=[models.Membership(**asdict(row)) for row in memberships])


async def change_password(call: Call) -> models.PasswordChanged:
    """Change one's own password. All other sessions end, and codes that would reset it are void."""
    body: models.ChangePassword = call.body
    device = await call.app[ACCOUNTS].change_password(
        call.actor, call.session, body.current_password, body.new_password
    )
    message = "Password changed. All other sessions were ended."
    return models.PasswordChanged(message=message, device_token=device.text, device_expires=device.expires)


async def change_me(call: Call) -> models.User:
    """Change one's own name, address, or both. Another address needs the current password; no mail is sent to it."""
    body: models.ChangeAccount = call.body
    name = None if body.name is None else body.name.strip()
    changed = await call.app[OWN_ACCOUNT].change(
        call.actor, call.session, name=name, email=body.email, current=body.current_password
    )
    return _user(changed)


async def delete_me(call: Call) -> Message:
    """Delete one's own account, once it belongs to no project any more. It cannot be undone.

    Name, address and password are removed, and all sessions end. The audit log, usage and bills keep the account's id.
    """
    body: models.DeleteAccount = call.body
    await call.app[OWN_ACCOUNT].delete(call.actor, call.session, body.current_password)
    return Message(message="Account deleted.")


async def use_password_reset(call: Call) -> Message:
    """Set a new password with a token that an operator issued. All sessions of the account end."""
    body: models.UseReset = call.body
    await call.app[ACCOUNTS].use_reset(call.actor, token=body.token, new=body.new_password, address=_address(call))
    return Message(message="Password set. Sign in with it.")


async def issue_password_reset(call: Call) -> models.IssuedReset:
    """A token that sets a new password once, within a day; earlier ones of the account are void. No mail is sent."""
    body: models.IssueReset = call.body
    token, expires = await call.app[ACCOUNTS].issue_reset(call.actor, call.session, body.email)
    return models.IssuedReset(token=token, expires=expires)


def _address(call: Call) -> str:
    return counted_address(call.request)


def _agent(call: Call) -> str:
    return call.request.headers.get(hdrs.USER_AGENT, "")


def _signed_in(session: NewSession) -> models.SignedIn:
    return models.SignedIn(
        session_token=session.text,
        expires=session.expires,
        user=_user(session.user),
        device_token=session.device.text,
        device_expires=session.device.expires,
    )


def _user(row: User) -> models.User:
    return models.User(user_id=row.user_id, email=row.email, name=row.name, operator=row.operator)


_TAG: Final = "Accounts"
ENDPOINTS: Final = (
    Endpoint(
        method="POST", path="/v1/accounts", handler=create_account, access=Public(), tag=_TAG, errors=ERRORS,
        summary="Sign up", body=models.CreateAccount, response=models.SignedIn, status=201,
        raises=(AddressTaken, WeakPassword), refuses=(TooManyRequests,),
    ),
    Endpoint(
        method="POST", path="/v1/sessions", handler=create_session, access=Public(), tag=_TAG, errors=ERRORS,
        summary="Sign in", body=models.SignIn, response=models.SignedIn, status=201,
        raises=(SignInRefused,), refuses=(TooManyRequests,),
    ),
    Endpoint(
        method="DELETE", path="/v1/sessions/current", handler=delete_session, access=SignedIn(), tag=_TAG,
        errors=ERRORS, summary="Sign out", response=Message,
    ),
    Endpoint(
        method="GET", path="/v1/me", handler=get_me, access=SignedIn(), tag=_TAG, errors=ERRORS,
        summary="Get the signed-in user", response=models.Me,
    ),
    Endpoint(
        method="PATCH", path="/v1/me", handler=change_me, access=SignedIn(), tag=_TAG, errors=ERRORS,
        summary="Change the signed-in user", body=models.ChangeAccount, response=models.User,
        raises=(WrongPassword, AddressTaken), refuses=(TooManyRequests,),
    ),
    Endpoint(
        method="DELETE", path="/v1/me", handler=delete_me, access=SignedIn(), tag=_TAG, errors=ERRORS,
        summary="Delete the account", body=models.DeleteAccount, response=Message,
        raises=(WrongPassword, StillMember), refuses=(TooManyRequests,),
    ),
    Endpoint(
        method="PUT", path="/v1/me/password", handler=change_password, access=SignedIn(), tag=_TAG, errors=ERRORS,
        summary="Change the password", body=models.ChangePassword, response=models.PasswordChanged,
        raises=(WrongPassword, WeakPassword), refuses=(TooManyRequests,),
    ),
    Endpoint(
        method="POST", path="/v1/password-resets/use", handler=use_password_reset, access=Public(), tag=_TAG,
        errors=ERRORS, summary="Set a forgotten password", body=models.UseReset, response=Message,
        raises=(ResetUnusable, WeakPassword), refuses=(TooManyRequests,),
    ),
    Endpoint(
        method="POST", path="/v1/operator/password-resets", handler=issue_password_reset, access=Operator(),
        tag="Operators", errors=ERRORS, summary="Issue a password reset", body=models.IssueReset,
        response=models.IssuedReset, status=201, raises=(AccountGone,),
    ),
)  # fmt: skip
