import pytest

from tests.fakes.platform_api import PROJECT, refusal
from tests.unit.frontend.conftest import Console


@pytest.fixture
async def operator(signed_in: Console) -> Console:
    signed_in.api.user["operator"] = True
    return signed_in


async def test_a_price_is_added_in_dollars(operator: Console) -> None:
    fields = {
        "plan": "prepaid",
        "service": "streaming",
        "model": "",
        "dollars": "$0.36",
        "effective_from": "2027-01-01",
    }
    page = await operator.submit("/operator/prices", fields)
    assert "The price was added." in page.text
    assert "$0.36" in page.text
    assert operator.api.sent("POST", "/prices") == {
        "plan": "prepaid", "service": "streaming", "micros_per_hour": 360_000, "effective_from": "2027-01-01",
    }  # fmt: skip


@pytest.mark.parametrize("dollars", ["", "x", "-1", "0.0000001", "1e30"])
async def test_what_is_no_price_comes_back_as_it_was_typed(operator: Console, dollars: str) -> None:
    page = await operator.submit("/operator/prices", {"dollars": dollars, "model": "<fast>"})
    assert page.status == 422
    assert "&lt;fast&gt;" in page.text


async def test_a_plan_is_changed_with_its_credit_limit(operator: Console) -> None:
    path = f"/operator/projects/{PROJECT}/plan"
    # The form begins with what is so now.
    assert '<option value="prepaid" selected>' in (await operator.get(path)).text
    operator.api.plan = {"plan": "postpaid", "credit_limit_micros": 12_500_000}
    page = await operator.get(path)
    assert '<option value="postpaid" selected>' in page.text
    assert 'value="12.5' in page.text
    assert "Postpaid, credit limit $12.50" in (await operator.get(path.removesuffix("/plan"))).text
    page = await operator.submit(path, {"plan": "postpaid", "dollars": "1,000"})
    assert "The plan was changed." in page.text
    assert operator.api.sent("PUT", "/plan") == {"plan": "postpaid", "credit_limit_micros": 1_000_000_000}
    operator.api.refuse_changes[f"{PROJECT}/plan"] = lambda: refusal(400, "Bad Request", "with the plan postpaid only")
    page = await operator.submit(path, {"plan": "free", "dollars": "1"})
    assert page.status == 422


async def test_others_find_nothing_there(signed_in: Console) -> None:
    for path in ("/operator/prices", f"/operator/projects/{PROJECT}/plan", "/operator/projects/x/plan"):
        assert (await signed_in.get(path)).status == 404
