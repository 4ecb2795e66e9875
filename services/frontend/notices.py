"""What a page says once about the action that led to it: short codes travel in a cookie, the sentences stay here."""

from collections.abc import Mapping
from typing import Final

NOTICES: Final[Mapping[str, str]] = {
    "signed-out": "You are signed out.",
    "session-ended": "Your session has ended. Log in again.",
    "account-created": "Welcome. Your account and your first project are ready.",
    "password-changed": "The password is changed. All other sessions have ended.",
    "password-reset": "The password is set. Log in with it.",
    "project-created": "The project is ready.",
    "project-renamed": "The project has its new name.",
    "project-deleted": "The project is deleted. Its keys have stopped working.",
    "project-left": "You have left the project.",
    "key-revoked": "The key is revoked. Streams that it had open end within 15 seconds.",
    "invite-withdrawn": "The invite is withdrawn.",
    "role-changed": "The role is changed.",
    "member-removed": "The member is removed.",
    "limits-changed": "The limits are changed. They hold for the next request.",
    "credit-granted": "The credit is on the project's account.",
    "project-suspended": "The project is suspended. What it has open ends within 15 seconds.",
    "project-resumed": "The project is resumed. Its keys are good again.",
    "invite-accepted": "You have joined the project.",
}
