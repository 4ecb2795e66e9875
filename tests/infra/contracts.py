"""What the images' programs read, from the services' own settings classes."""

import inspect
import re

from aldea.canary import __main__ as canary
from aldea.settings import ServiceSettings, is_secret
from aldea_infra.checks.run import Contract
from backend.cli import CommandSettings
from backend.settings import BackendSettings
from frontend.settings import FrontendSettings
from http_proxy.settings import HttpProxySettings
from sqs_updater.settings import Settings as UpdaterSettings
from ws_proxy.settings import Settings as WsProxySettings


def contract(settings: type[ServiceSettings]) -> Contract:
    fields = settings.model_fields
    return Contract(
        variables=frozenset(name.upper() for name in fields),
        required=frozenset(name.upper() for name, field in fields.items() if field.is_required()),
        secret=frozenset(name.upper() for name, field in fields.items() if is_secret(field.annotation)),
    )


# The canary has no settings class; it reads its variables by name.
CANARY = Contract(
    variables=frozenset(re.findall(r'environ(?:ment)?\.get\("([A-Z_]+)"\)', inspect.getsource(canary))),
    required=frozenset({"CANARY_KEY"}),
    secret=frozenset({"CANARY_KEY"}),
)
CONTRACTS = {
    "ws-proxy": contract(WsProxySettings),
    "http-proxy": contract(HttpProxySettings),
    "backend": contract(BackendSettings),
    "migrate": contract(CommandSettings),
    "frontend": contract(FrontendSettings),
    "sqs-updater": contract(UpdaterSettings),
    "canary": CANARY,
}
