"""The errors of webhooks, and the contract's error for each."""

from typing import Final

from aldea.errors import BadRequest, Conflict, NotFound
from backend.api.endpoint import DomainError, ErrorTable
from backend.projects.errors import ERRORS as PROJECT_ERRORS


class WebhookGone(DomainError):
    """The project has no such webhook."""


class DeliveryGone(DomainError):
    """The webhook has no such delivery, or not any more."""


class TooManyWebhooks(DomainError):
    """The project has as many webhooks as any may."""


class WebhookDisabled(DomainError):
    """The webhook is disabled, so nothing is sent to it."""


class UrlUnusable(DomainError):
    """The URL is none that the platform goes to."""


ERRORS: Final[ErrorTable] = {
    **PROJECT_ERRORS,
    WebhookGone: NotFound,
    DeliveryGone: NotFound,
    TooManyWebhooks: Conflict,
    WebhookDisabled: Conflict,
    UrlUnusable: BadRequest,
}
