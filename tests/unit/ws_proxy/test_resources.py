from unittest.mock import Mock

import pytest
from aiohttp.test_utils import make_mocked_request

from aldea import errors
from aldea.service.lifecycle import LIFECYCLE
from aldea.settings import read
from ws_proxy.resources import about_to_restart, check_origin, refuse_in_a_drain
from ws_proxy.settings import Settings


def test_pages_of_other_origins_are_refused() -> None:
    settings = read(
        Settings, redis_url="redis://127.0.0.1:1/0", stt_upstreams=("http://127.0.0.1:8800",),
        allowed_origins=("https://good.example",),
    )  # fmt: skip
    with pytest.raises(errors.InsufficientPermissions):
        check_origin(make_mocked_request("GET", "/v1/realtime", {"Origin": "https://evil.example"}), settings)
    check_origin(make_mocked_request("GET", "/v1/realtime", {"Origin": "https://good.example"}), settings)
    check_origin(make_mocked_request("GET", "/v1/realtime"), settings)


def test_a_process_that_drains_takes_nothing_new() -> None:
    with pytest.raises(errors.ServiceUnavailable):
        refuse_in_a_drain(Mock(app={LIFECYCLE: Mock(draining=True)}))
    refuse_in_a_drain(Mock(app={LIFECYCLE: Mock(draining=False)}))
    assert about_to_restart().retry_after == 1
