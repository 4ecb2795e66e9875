import pytest

from tests.fakes.platform_api import EMAIL, PASSWORD
from tests.unit.frontend.conftest import Console, Page

LOGIN = {"email": EMAIL, "password": PASSWORD}


def refused(page: Page) -> bool:
    return page.status == 403 and "Load the page again" in page.text


@pytest.mark.parametrize("token", ["", "x", ".", "00.00", "é.é"])
async def test_a_form_without_a_good_token_is_refused(console: Console, token: str) -> None:
    await console.get("/login")
    assert refused(await console.post("/login", LOGIN, token=token))
    assert not [call for call in console.api.calls if call[0] == "POST"]


async def test_a_token_of_one_browser_is_worth_nothing_in_another(console: Console) -> None:
    token = (await console.get("/login")).token
    assert token
    console.client.session.cookie_jar.clear()
    await console.get("/login")
    assert refused(await console.post("/login", LOGIN, token=token))


async def test_a_token_dies_with_the_sign_in(console: Console) -> None:
    before = (await console.get("/login")).token
    await console.log_in()
    assert refused(await console.post("/logout", token=before))


async def test_every_page_has_a_token_of_its_own_and_all_are_good(signed_in: Console) -> None:
    first, second = (await signed_in.get("/account")).token, (await signed_in.get("/account")).token
    assert first != second
    fields = {"current_password": PASSWORD, "new_password": "another sentence"}
    for token in (first, second):
        assert (await signed_in.post("/account/password", fields, token=token)).status == 200


async def test_the_token_may_come_in_a_header(signed_in: Console) -> None:
    token = (await signed_in.get("/account")).token
    fields = {"current_password": PASSWORD, "new_password": "another sentence"}
    page = await signed_in.post("/account/password", fields, token="", headers={"X-CSRF-Token": token})
    assert page.status == 200


@pytest.mark.parametrize(
    "sent", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
             {"Sec-Fetch-Site": "same-site"}],
)  # fmt: skip
async def test_what_a_browser_says_to_come_from_elsewhere_is_refused_even_with_a_token(
    console: Console, sent: dict[str, str]
) -> None:
    assert refused(await console.post("/login", LOGIN, headers=sent))


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://[v1.]", "//", "http://x:99999", "x" * 4000, "é"])
async def test_an_origin_that_is_none_is_refused(console: Console, origin: str) -> None:
    assert refused(await console.post("/login", LOGIN, headers={"Origin": origin}))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"csrf=x", "application/x-www-form-urlencoded; charset=nope"),
        (b"csrf=%ff", "application/x-www-form-urlencoded"),
        (b"--x", "multipart/form-data"),
        (b"--x\r\nno colon\r\n\r\n", "multipart/form-data; boundary=x"),
        (b"{}", "application/json"),
    ],
)
async def test_a_form_that_cannot_be_read_is_400(console: Console, body: bytes, content_type: str) -> None:
    async with console.client.post("/login", data=body, headers={"Content-Type": content_type}) as response:
        assert response.status == 400
        assert "<html" in await response.text()


async def test_our_own_origin_is_let_through_whatever_the_scheme_before_the_balancer(console: Console) -> None:
    host = f"{console.client.host}:{console.client.port}"
    page = await console.post("/login", LOGIN, headers={"Origin": f"https://{host}", "Sec-Fetch-Site": "same-origin"})
    assert page.status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"), [("PUT", "/login", 405), ("DELETE", "/", 405), ("POST", "/no", 404)]
)
async def test_what_nothing_takes_is_called_that_and_no_forgery(
    console: Console, method: str, path: str, status: int
) -> None:
    async with console.client.request(method, path, data=b"x" * 100) as response:
        assert response.status == status
    assert not console.api.calls
