from frontend.page_views import Project, text_fields
from tests.fakes.platform_api import PROJECT
from tests.unit.frontend.conftest import Console


def test_what_is_offered_follows_the_role() -> None:
    offered = {
        role: (project.manages, project.owns)
        for role in ("owner", "admin", "member")
        for project in [Project(PROJECT, "Demo", role, "active")]
    }
    assert offered == {"owner": (True, True), "admin": (True, False), "member": (False, False)}


def test_fields_lose_surrounding_space_and_passwords_keep_it() -> None:
    assert text_fields({"name": " a ", "new_password": " b ", "file": b"x"}) == {"name": "a", "new_password": " b "}


async def test_whoever_is_signed_out_is_led_to_login_from_every_page(console: Console) -> None:
    for path in ("/", "/account", "/projects/new", console.project("overview"), console.project("settings")):
        assert (await console.get(path)).path.startswith("/login")


async def test_the_session_is_sent_in_authorization_and_stands_in_no_page(signed_in: Console) -> None:
    page = await signed_in.get("/account")
    session = signed_in.cookie("session")
    assert session
    assert f"Bearer {session}" in signed_in.api.authorizations
    assert session not in page.text
    assert not [path for _, path, query, _ in signed_in.api.calls if session in path or session in str(query)]
