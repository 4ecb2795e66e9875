"""The endpoints as data; they are tested on a real backend."""

from backend.api.access import AnyCaller, Operator, Public
from backend.status.handlers import CACHED, ENDPOINTS


def test_everybody_reads_and_only_operators_publish() -> None:
    access = {endpoint.operation_id: type(endpoint.access) for endpoint in ENDPOINTS}
    assert access == {
        "get_status": Public,
        "record_canary_runs": AnyCaller,
        "list_incidents": Operator,
        "open_incident": Operator,
        "update_incident": Operator,
    }
    assert CACHED == {"Cache-Control": "public, max-age=15"}
