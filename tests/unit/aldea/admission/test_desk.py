import asyncio
from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from aldea import errors
from aldea.admission import Admission, Grant, scripts
from aldea.credentials import Credential
from aldea.ids import new_request_id, started_ms
from aldea.tasks import spawn
from aldea.usage.reading import Rank, UsageReading

KEY = Credential("ab")
ADMITTED = ["admitted", "p", "k", "ab", "", "", "a", "free", "0 360000", "", "", "", 1]


async def admit(admission: Admission, credential: Credential = KEY, **changes: Any) -> Grant:
    request: dict[str, Any] = {"request_id": new_request_id(), "service": "streaming", "path": "/v1/listen"}
    return await admission.admit(credential, **{**request, **changes})


async def test_a_grant_is_made_of_the_request_and_redis_response(link: Any) -> None:
    link.responses[scripts.ADMIT] = ADMITTED
    request_id = new_request_id()
    grant = await admit(Admission(link, lane="main"), request_id=request_id, tags=("t",))
    assert (grant.request_id, grant.started_ms) == (request_id, started_ms(request_id))
    assert (grant.project_id, grant.key_id, grant.lane, grant.tags) == ("p", "k", "main", ("t",))
    assert not grant.offline


async def test_tags_that_break_the_rule_are_refused_before_redis_is_called(link: Any) -> None:
    with pytest.raises(errors.BadRequest):
        await admit(Admission(link, lane="main"), tags=["\t"])
    assert link.sent == []


async def test_a_path_that_a_client_chose_is_made_to_fit_a_reading(link: Any) -> None:
    link.responses[scripts.ADMIT] = ADMITTED
    grant = await admit(Admission(link, lane="main"), path="/\0" + "x" * 9999)
    opening = (
        f'{{"project_id":"{new_request_id()}","key_id":"{new_request_id()}","tags":[],' + str(link.sent[0][2][5])[1:]
    )
    assert UsageReading.from_json(opening).path == grant.path


@pytest.mark.parametrize(
    ("reason", "number", "refusal", "retry_after"),
    [
        ("unknown", 0, errors.InvalidAuth, None),
        ("revoked", 0, errors.InvalidAuth, None),
        ("expired", 0, errors.InvalidAuth, None),
        ("scope", 0, errors.InsufficientPermissions, None),
        ("suspended", 0, errors.InsufficientPermissions, None),
        ("rate", 2_500_000, errors.TooManyRequests, "3"),
        ("concurrency", 7, errors.TooManyRequests, "2"),
        ("quota", 0, errors.PaymentRequired, None),
        ("balance", 0, errors.PaymentRequired, None),
        ("loading", 0, errors.ServiceUnavailable, "2"),
    ],
)
async def test_each_refusal_is_the_contracts_error(
    link: Any, reason: str, number: int, refusal: type[errors.ApiError], retry_after: str | None
) -> None:
    link.responses[scripts.ADMIT] = ["refused", reason, number, 1]
    with pytest.raises(refusal) as refused:
        await admit(Admission(link, lane="main"))
    assert refused.value.headers().get("Retry-After") == retry_after


async def test_the_message_of_a_429_says_which_limit(link: Any) -> None:
    link.responses[scripts.ADMIT] = ["refused", "concurrency", 7, 1]
    with pytest.raises(errors.TooManyRequests, match="7 concurrent"):
        await admit(Admission(link, lane="main"))
    link.responses[scripts.ADMIT] = ["refused", "rate", 1, 1]
    with pytest.raises(errors.TooManyRequests, match="rate"):
        await admit(Admission(link, lane="main"))


async def test_a_key_seen_lately_is_admitted_from_memory_up_to_the_cap(link: Any) -> None:
    admission = Admission(link, lane="main", max_offline=2)
    link.responses[scripts.ADMIT] = ADMITTED
    await admit(admission)
    link.unavailable = link.unsent = True
    first = await admit(admission)
    assert first.offline
    await admit(admission)
    with pytest.raises(errors.ServiceUnavailable):
        await admit(admission)
    with pytest.raises(errors.ServiceUnavailable):
        await admit(admission, Credential("unknown"))
    assert admission.outbox.waiting == 2


async def test_a_key_that_redis_refused_is_forgotten(link: Any) -> None:
    admission = Admission(link, lane="main")
    link.responses[scripts.ADMIT] = ADMITTED
    await admit(admission)
    link.responses[scripts.ADMIT] = ["refused", "revoked", 0, 1]
    with pytest.raises(errors.InvalidAuth):
        await admit(admission)
    link.unavailable = True
    with pytest.raises(errors.ServiceUnavailable):
        await admit(admission)


@pytest.mark.parametrize("reason", ["unknown", "revoked", "expired", "scope", "suspended", "quota"])
async def test_what_redis_refused_for_what_it_is_does_not_get_in_while_redis_is_unavailable(
    link: Any, reason: str
) -> None:
    admission = Admission(link, lane="main")
    link.responses[scripts.ADMIT] = ADMITTED
    await admit(admission)
    link.responses[scripts.ADMIT] = ["refused", reason, 0, 1]
    with pytest.raises(errors.ApiError):
        await admit(admission)
    link.unavailable = True
    with pytest.raises(errors.ServiceUnavailable):
        await admit(admission)


@pytest.mark.parametrize("reason", ["rate", "concurrency", "loading"])
async def test_what_redis_refused_for_the_moment_gets_in_while_redis_is_unavailable(link: Any, reason: str) -> None:
    admission = Admission(link, lane="main")
    link.responses[scripts.ADMIT] = ADMITTED
    await admit(admission)
    link.responses[scripts.ADMIT] = ["refused", reason, 1, "", 1]
    with pytest.raises(errors.ApiError):
        await admit(admission)
    link.unavailable = link.unsent = True
    assert (await admit(admission)).offline


async def test_what_redis_refused_for_its_rate_waits_as_long_while_redis_is_unavailable(link: Any) -> None:
    admission = Admission(link, lane="main")
    link.responses[scripts.ADMIT] = ["admitted", "p", "k", "ab", "", "", "", "", "", "", "", "project 2 1 1 ", 1]
    await admit(admission)
    link.responses[scripts.ADMIT] = ["refused", "rate", 30_000_000, "", 1]
    with pytest.raises(errors.TooManyRequests):
        await admit(admission)
    link.gone = True
    with pytest.raises(errors.TooManyRequests) as refused:
        await admit(admission)
    assert refused.value.headers()["Retry-After"] == "30"


@pytest.mark.parametrize("subject", ["ab", "p"])
async def test_a_refusal_of_one_credential_holds_for_all_that_depend_on_its_subject(link: Any, subject: str) -> None:
    admission = Admission(link, lane="main")
    link.responses[scripts.ADMIT] = ADMITTED
    await admit(admission, Credential("a token of ab"))
    link.responses[scripts.ADMIT] = ["refused", "revoked", 0, subject, 1]
    with pytest.raises(errors.InvalidAuth):
        await admit(admission, Credential("never seen here"))
    link.unavailable = True
    with pytest.raises(errors.ServiceUnavailable):
        await admit(admission, Credential("a token of ab"))


@pytest.mark.parametrize("reason", ["unknown", "revoked", "expired"])
async def test_with_a_key_that_redis_refuses_its_tokens_are_refused_while_redis_is_unavailable(
    link: Any, reason: str
) -> None:
    admission = Admission(link, lane="main")
    link.responses[scripts.ADMIT] = ADMITTED
    await admit(admission, Credential("a token of ab"))
    # As admit.lua says it: only of what has a record it names the subject.
    link.responses[scripts.ADMIT] = ["refused", reason, 0, "" if reason == "unknown" else "ab", 1]
    with pytest.raises(errors.InvalidAuth):
        await admit(admission, Credential("ab"))
    link.unavailable = True
    with pytest.raises(errors.ServiceUnavailable):
        await admit(admission, Credential("a token of ab"))


@pytest.mark.parametrize("verdict", ["revoked", "expired", "suspended", "project quota", "key budget", "account quota"])
@pytest.mark.parametrize("waited", [False, True], ids=["at its time", "after Redis was unavailable"])
async def test_what_a_renewal_refused_does_not_get_in_while_redis_is_unavailable(
    link: Any, verdict: str, waited: bool
) -> None:
    admission = Admission(link, lane="main")
    link.responses[scripts.ADMIT] = ADMITTED
    grant = await admit(admission, Credential("a token of ab"))
    checkpoint = grant.reading(Rank.OPEN, 1)
    link.responses[scripts.RENEW] = [verdict, 0, ""]
    if waited:
        admission.outbox.keep(grant, checkpoint)
        await admission.outbox.flush()
    else:
        admission.outbox.renewed(grant, checkpoint, await admission.outbox.renew(grant, checkpoint))
    link.unavailable = True
    with pytest.raises(errors.ServiceUnavailable):
        await admit(admission, Credential("a token of ab"))


@pytest.mark.parametrize("unsent", [True, False])
async def test_a_refused_request_is_taken_back_only_if_redis_may_have_admitted_it(link: Any, unsent: bool) -> None:
    admission = Admission(link, lane="main")
    link.unavailable, link.unsent = True, unsent
    with pytest.raises(errors.ServiceUnavailable):
        await admit(admission)
    assert len(admission.outbox._abandoned) == (0 if unsent else 1)


async def test_a_client_that_leaves_during_admission_leaves_no_lease_behind(link: Any) -> None:
    link.responses[scripts.ADMIT] = None  # no response comes
    async with Admission(link, lane="main") as admission:
        task = spawn(admit(admission), name="admit")
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert link.scripts()[0] is scripts.ADMIT
    assert set(link.scripts()[1:]) == {scripts.ABANDON}


async def test_a_file_that_no_limit_has_room_for_is_refused_with_its_estimate(link: Any) -> None:
    admission = Admission(link, lane="main")
    link.responses |= {scripts.ADMIT: ADMITTED, scripts.RESERVE: ["refused", "quota", 50_000, 100_000, "project", 6]}
    grant = await admit(admission)
    with pytest.raises(errors.PaymentRequired, match=r"estimated at 60\.5 s: 50 of 100 s"):
        await admission.reserve(grant, 60_500)


@pytest.mark.parametrize("fault", ["unavailable", "refuses the command"])
async def test_where_nothing_can_be_reserved_the_request_goes_on(link: Any, fault: str) -> None:
    admission = Admission(link, lane="main")
    link.responses |= {scripts.ADMIT: ADMITTED, scripts.RESERVE: NoPermissionError()}
    grant = await admit(admission)
    link.unavailable = fault == "unavailable"
    await admission.reserve(grant, 1)


async def test_nothing_is_reserved_for_no_audio_nor_from_memory(link: Any) -> None:
    admission = Admission(link, lane="main")
    link.responses[scripts.ADMIT] = ADMITTED
    await admission.reserve(await admit(admission), 0)
    link.unavailable = link.unsent = True
    offline = await admit(admission)
    link.unavailable = False
    await admission.reserve(offline, 1000)
    assert scripts.RESERVE not in link.scripts()
