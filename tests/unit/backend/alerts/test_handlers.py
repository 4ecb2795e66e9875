"""Who may see and change webhooks."""

from backend.alerts.handlers import ENDPOINTS
from backend.api.access import InProject


def test_whoever_changes_a_webhook_may_change_the_project() -> None:
    for endpoint in ENDPOINTS:
        if isinstance(endpoint.access, InProject):
            wanted = {"project:read", "billing:read"} if endpoint.method == "GET" else {"project:write"}
            assert endpoint.access.scope in wanted
