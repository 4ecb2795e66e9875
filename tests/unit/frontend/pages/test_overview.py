from tests.unit.frontend.conftest import Console


async def test_before_the_first_request_the_first_steps_are_shown_with_the_right_addresses(signed_in: Console) -> None:
    page = await signed_in.get(signed_in.project("overview"))
    assert "Your first request" in page.text
    assert "http://api.localhost:8080/v1/listen" in page.text
