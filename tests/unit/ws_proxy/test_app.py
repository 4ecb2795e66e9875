import pytest
from aiohttp.test_utils import make_mocked_request

from aldea import errors
from aldea.settings import read
from ws_proxy.app import PATHS, _check, make_app
from ws_proxy.settings import Settings


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("STT_UPSTREAMS", "http://127.0.0.1:8800")
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://good.example")
    return read(Settings)


async def test_every_spelling_of_the_live_path_is_served(settings: Settings) -> None:
    served = {route.resource.canonical for route in make_app(settings).router.routes() if route.resource}
    assert {*PATHS, "/healthz", "/readyz"} <= served


async def test_callbacks_and_strange_origins_are_refused(settings: Settings) -> None:
    with pytest.raises(errors.BadRequest):
        _check(make_mocked_request("GET", "/v1/listen?callback=x"), settings)
    with pytest.raises(errors.InsufficientPermissions):
        _check(make_mocked_request("GET", "/v1/listen", {"Origin": "https://evil.example"}), settings)
    _check(make_mocked_request("GET", "/v1/listen", {"Origin": "https://good.example"}), settings)
