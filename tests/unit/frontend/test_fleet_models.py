"""The console reads the fleet and a request's story as the API gives them."""

from frontend.fleet_models import Fleet, FleetServer
from tests.fakes.platform_api import fleet_of


def test_a_fleet_is_read() -> None:
    found = Fleet.model_validate(fleet_of())
    assert isinstance(found.servers[0], FleetServer)
