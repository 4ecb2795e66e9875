import pytest

from tests.fakes.platform_api import incident_of, refusal
from tests.unit.frontend.conftest import Console

PAGE = "/operator/incidents"
ONE = incident_of()["incident_id"]


@pytest.fixture
async def operator(signed_in: Console) -> Console:
    signed_in.api.user["operator"] = True
    return signed_in


async def test_others_find_nothing_there(signed_in: Console) -> None:
    assert (await signed_in.get(PAGE)).status == 404
    assert (await signed_in.submit(f"{PAGE}/{ONE}", {"state": "resolved"})).status == 404


async def test_an_incident_is_published_with_what_it_affects(operator: Console) -> None:
    fields = {"title": "No words", "impact": "major", "message": "We look.", "components": ["stream", "usage", "x"]}
    page = await operator.submit(PAGE, fields)
    assert "It is on the status page" in page.text
    assert "No words" in page.text
    sent = operator.api.sent("POST", "/incidents")
    assert sent == {**fields, "components": ["stream", "usage"]}


async def test_a_refused_one_comes_back_as_it_was_typed(operator: Console) -> None:
    typed = {"title": "No <words>", "impact": "major", "message": "We look."}
    page = await operator.submit(PAGE, typed)
    assert (page.status, "Choose what is affected." in page.text, "No &lt;words&gt;" in page.text) == (422, True, True)
    operator.api.refuse_changes["/incidents"] = lambda: refusal(400, "Bad Request", "title: too long")
    page = await operator.submit(PAGE, {**typed, "components": "upload"})
    assert page.status == 422
    assert 'value="upload" checked' in page.text


async def test_news_of_an_incident_and_its_end_are_published(operator: Console) -> None:
    operator.api.incidents = [incident_of()]
    page = await operator.submit(f"{PAGE}/{ONE}", {"state": "resolved", "message": "Over."})
    assert "It is on the status page" in page.text
    assert operator.api.sent("POST", "/updates") == {"state": "resolved", "message": "Over."}
    operator.api.refuse_changes["/updates"] = lambda: refusal(409, "CONFLICT", "It is resolved.")
    page = await operator.submit(f"{PAGE}/{ONE}", {"state": "resolved", "message": "Over?"})
    assert (page.status, "Over?" in page.text) == (422, True)
    assert (await operator.submit(f"{PAGE}/x", {})).status == 404


async def test_a_resolved_incident_has_no_form(operator: Console) -> None:
    operator.api.incidents = [incident_of(resolved="2026-11-23T16:00:00Z")]
    page = await operator.get(PAGE)
    assert f'action="{PAGE}/{ONE}"' not in page.text
