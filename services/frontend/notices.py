"""What a page says once about the action that led to it: short codes travel in a cookie, the sentences stay here."""

from collections.abc import Mapping
from typing import Final

NOTICES: Final[Mapping[str, str]] = {
    "signed-out": "You are signed out.",
    "session-ended": "Your session has ended. Log in again.",
    "account-created": "Welcome. Your account and your first project are ready.",
    "name-changed": "Your name was changed.",
    "email-changed": "Your e-mail was changed. Log in with the new one from now on.",
    "account-deleted": "Your account was deleted.",
    "password-changed": "Your password was changed. All your other sessions have ended.",
    "password-reset": "Your password was set. Log in with it.",
    "project-created": "The project is ready.",
    "project-renamed": "The project was renamed.",
    "project-deleted": "The project was deleted. Its keys no longer work.",
    "project-left": "You have left the project.",
    "key-revoked": "The key was revoked. Its open streams end within 15 seconds.",
    "invite-withdrawn": "The invite was withdrawn.",
    "role-changed": "The role was changed.",
    "member-removed": "The member was removed.",
    "webhook-changed": "The webhook was changed.",
    "webhook-deleted": "The webhook was deleted.",
    "webhook-sent": "It is being sent. Its response is in the list in a moment.",
    "thresholds-changed": "The thresholds were saved.",
    "limits-changed": "The limits were changed. They apply from the next request on.",
    "price-added": "The price was added. The accounts of its plan are notified.",
    "plan-changed": "The plan was changed. It applies from the next request on.",
    "project-moved": "The project was moved. The new account's plan, balance and limits apply from now on.",
    "credit-granted": "The credit was added.",
    "incident-published": "It is on the status page within 15 seconds.",
    "project-suspended": "The project was suspended. Its open streams end within 15 seconds.",
    "project-resumed": "The project was resumed. Its keys work again.",
    "invite-accepted": "You have joined the project.",
}
