from collections.abc import Callable

from aldea.admission import Grant, scripts
from aldea.admission.grant import Application
from aldea.usage.reading import Rank, UsageReading

REQUEST = Application(
    request_id="r", started_ms=0, credential_sha256="ab", service="streaming", lane="main", path="/", tags=()
)


def test_admission_queries_by_hash_in_the_month_of_its_beginning() -> None:
    call = scripts.admit(REQUEST, 30_000)
    assert call.keys == ("usage:readings",)
    assert call.args[:5] == ("r", "ab", "usage:write", 30_000, "197001")


def test_a_renewal_and_an_end_name_the_same_places(make_grant: Callable[[], Grant]) -> None:
    grant = make_grant()
    reading = grant.reading(Rank.FINAL, 7)
    renew, finish = scripts.renew(grant, reading, 5, 30_000), scripts.finish(grant, reading, 5)
    assert renew.keys == finish.keys
    assert renew.args[-4:] == ("ab", grant.project_id, grant.account_id, grant.micros_per_hour)
    assert finish.keys[1] == f"used:{grant.project_id}:202512"
    assert finish.args[1:5] == (2, 7, 0, 5)
    assert UsageReading.from_json(str(finish.args[5])) == reading


def test_a_reservation_is_booked_where_the_end_books(make_grant: Callable[[], Grant]) -> None:
    grant = make_grant()
    finish, reserve = scripts.finish(grant, grant.reading(Rank.FINAL, 7), 5), scripts.reserve(grant, 60_000)
    assert reserve.keys == (finish.keys[1], finish.keys[2], finish.keys[4], "reserved")
    assert reserve.args[:3] == (grant.request_id, 60_000, scripts.REMEMBER_RUNNING_MS)
    assert reserve.args[-2:] == finish.args[-2:]


def test_no_record_that_a_proxy_may_only_read_is_declared(make_grant: Callable[[], Grant]) -> None:
    grant = make_grant()
    reading = grant.reading(Rank.FINAL, 7)
    calls = (
        scripts.admit(REQUEST, 30_000), scripts.renew(grant, reading, 5, 30_000), scripts.finish(grant, reading, 5),
        scripts.abandon(REQUEST, 503), scripts.reserve(grant, 5),
    )  # fmt: skip
    # Redis takes a declared key for one that is written.
    assert not [key for call in calls for key in call.keys if key.startswith(("cred:", "project:", "keys:"))]


def test_every_script_has_a_name_of_its_own() -> None:
    found = {scripts.ADMIT.sha, scripts.RENEW.sha, scripts.FINISH.sha, scripts.ABANDON.sha, scripts.RESERVE.sha}
    assert len(found) == 5


def test_what_was_booked_outlives_the_repetitions_of_a_final() -> None:
    assert scripts.REMEMBER_FINISHED_MS > 60_000
