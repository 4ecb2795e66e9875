"""What is decided before a request costs anything; the rest of its life is tested before a real Redis."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from aldea import errors
from aldea.admission import Grant, Verdict
from aldea.service.lifecycle import Lifecycle
from aldea.upstream import FAILURES_TO_OPEN, Upstreams
from aldea.usage.reading import UsageReading
from http_proxy.resources import InFlight
from http_proxy.transcription import Transcription
from http_proxy.upload import UploadLimits
from tests.unit.http_proxy.test_metering import GRANT

KEY = {"Authorization": "Token org_abc", "Content-Length": "5"}


class RecordingAdmission:
    """An admission that lets everybody in."""

    async def admit(self, _credential: object, **_request: object) -> Grant:
        return GRANT

    async def finish(self, _grant: Grant, final: UsageReading) -> None:
        self.final = final


def transcription(
    path: str = "/v1/listen", headers: dict[str, str] | None = None, upstreams: Upstreams | None = None
) -> tuple[Transcription, Any]:
    resources: Any = SimpleNamespace(
        lifecycle=Lifecycle(),
        upstreams=upstreams or Upstreams(["http://stt:8800"]),
        limits=UploadLimits(max_bytes=10, stall_seconds=1, min_bytes_per_second=0),
        settings=SimpleNamespace(
            lane="local",
            total_seconds=10,
            first_byte_seconds=10,
            answer_stall_seconds=10,
            reserve_audio=False,
            continues_trace=lambda _request: False,
        ),
        admission=RecordingAdmission(),
        pool=None,
        renewals=SimpleNamespace(add=lambda _: None, discard=lambda _: None),
        in_flight=InFlight(),
    )
    request = make_mocked_request("POST", path, headers=KEY if headers is None else headers)
    return Transcription(resources, request), resources


@pytest.mark.parametrize(
    ("path", "headers", "error"),
    [
        ("/stats", KEY, errors.NotFound),
        ("/v1/listen", {"Content-Length": "5"}, errors.InvalidAuth),
        ("/v1/listen", {"Authorization": "Token org_abc"}, errors.LengthRequired),
        ("/v1/listen", {**KEY, "Content-Length": "11"}, errors.PayloadTooLarge),
        ("/v1/listen?callback=", KEY, errors.BadRequest),
    ],
)
async def test_a_request_is_refused_by_its_head(path: str, headers: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        await transcription(path, headers)[0].run()


async def test_a_draining_process_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    found, resources = transcription()
    monkeypatch.setattr(resources.lifecycle, "draining", True)
    with pytest.raises(errors.ServiceUnavailable) as caught:
        await found.run()
    assert caught.value.retry_after


async def test_without_a_server_the_request_is_refused_and_costs_nothing() -> None:
    upstreams = Upstreams(["http://stt:8800"])
    for _ in range(FAILURES_TO_OPEN):
        upstreams.failed(upstreams.servers[0], "refused")
    found, resources = transcription(upstreams=upstreams)
    with pytest.raises(errors.BadGateway) as caught:
        await found.run()
    assert caught.value.retry_after
    assert (resources.admission.final.status, resources.admission.final.audio_ms) == (502, 0)


async def test_who_is_not_admitted_takes_no_servers_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(_credential: object, **_request: object) -> Grant:
        raise errors.InvalidAuth

    found, resources = transcription()
    monkeypatch.setattr(resources.admission, "admit", refuses)
    monkeypatch.setattr(resources.upstreams, "candidates", lambda: pytest.fail("servers were requested"))
    with pytest.raises(errors.InvalidAuth):
        await found.run()


@pytest.mark.parametrize(
    ("verdict", "error"),
    [
        (Verdict.REVOKED, errors.InvalidAuth),
        (Verdict.EXPIRED, errors.InvalidAuth),
        (Verdict.QUOTA, errors.PaymentRequired),
        (Verdict.BALANCE, errors.PaymentRequired),
        (Verdict.SUSPENDED, errors.InsufficientPermissions),
    ],
)
async def test_a_refused_renewal_ends_the_upload_with_the_fitting_error(
    verdict: Verdict, error: type[errors.ApiError]
) -> None:
    found, _ = transcription()
    found.on_refused(verdict)
    with pytest.raises(error):
        await found._upload.read()


@pytest.mark.parametrize(
    ("code", "healthy"), [(200, True), (400, True), (499, True), (429, True), (503, True), (500, False), (599, False)]
)
def test_a_servers_5xx_counts_against_its_circuit_and_no_lower_status_does(code: int, healthy: bool) -> None:
    found, resources = transcription()
    server = resources.upstreams.servers[0]
    for _ in range(FAILURES_TO_OPEN):
        found._judge(server, code)
    assert server.healthy == healthy


@pytest.mark.parametrize("code", [200, 499])
def test_a_response_below_500_ends_a_servers_row_of_failures(code: int) -> None:
    found, resources = transcription()
    server = resources.upstreams.servers[0]
    for _ in range(FAILURES_TO_OPEN - 1):
        found._judge(server, 500)
    found._judge(server, code)
    found._judge(server, 500)
    assert server.healthy
