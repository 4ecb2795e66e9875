import re
from pathlib import Path

import pytest
from aiohttp import CookieJar
from aiohttp.test_utils import TestClient, TestServer
from jinja2 import TemplateError

from frontend.app import make_app
from frontend.rendering import TEMPLATES, environment, local_path
from tests.fakes.platform_api import FakePlatformApi
from tests.unit.frontend.conftest import Console, settings


@pytest.mark.parametrize("name", sorted(path.name for path in TEMPLATES.glob("*.html")))
def test_every_template_parses_and_has_nothing_that_the_policy_forbids(name: str) -> None:
    environment().get_template(name)
    source = (TEMPLATES / name).read_text()
    assert not re.search(r"\sstyle=", source), "an inline style"
    assert not re.search(r"\son[a-z]+=|hx-on", source), "an inline handler"
    assert not re.search(r"<script(?![^>]*\ssrc=)", source), "an inline script"
    assert "|safe" not in source.replace(" ", ""), "unescaped output"
    assert "//" not in re.sub(r"{#.*?#}|xmlns=\"[^\"]*\"", "", source), "an address elsewhere"


@pytest.mark.parametrize("name", sorted(path.name for path in TEMPLATES.glob("*.html")))
def test_every_form_that_changes_something_carries_a_token(name: str) -> None:
    source = (TEMPLATES / name).read_text()
    for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", source, re.DOTALL):
        assert "csrf(csrf_token)" in form, form


def test_a_missing_value_is_an_error_and_not_an_empty_place() -> None:
    with pytest.raises(TemplateError):
        environment().from_string("{{ nobody_gave_this }}").render()


async def test_the_theme_that_was_chosen_is_in_the_page_itself(console: Console) -> None:
    assert "data-theme" not in (await console.get("/login")).text.partition("<head>")[0]
    console.client.session.cookie_jar.update_cookies({"theme": "dark"})
    assert '<html lang="en" data-theme="dark">' in (await console.get("/login")).text


async def test_pages_are_compressed_and_differ_by_cookie(console: Console) -> None:
    page = await console.get("/login")
    assert page.headers["Content-Encoding"] in {"gzip", "deflate"}
    assert "Cookie" in page.headers["Vary"]


@pytest.mark.parametrize("path", ["/", "/projects/1/keys?page=2", "/a//b"])
def test_a_path_of_ours_may_be_gone_to(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path", ["", "x", "//evil", "/\\evil", "https://evil", "/\r\nSet-Cookie: a=b", "/\tx", "/x\x7f", "/\x85"]
)
def test_nothing_else_may(path: str) -> None:
    assert local_path(path) is None


@pytest.mark.parametrize(
    ("path", "written"), [("/é b", "/%C3%A9%20b"), ("/%41?a=%2F&b#c", "/%41?a=%2F&b#c"), ("/\udcff", "/?")]
)
def test_a_path_is_written_as_a_header_may_carry_it(path: str, written: str) -> None:
    assert local_path(path) == written


async def test_a_page_to_come_back_to_that_no_header_may_carry_leads_home(signed_in: Console) -> None:
    page = await signed_in.get("/login?next=/x%7F", follow=False)
    assert (page.status, page.headers["Location"]) == (303, "/")


def test_templates_are_where_the_package_is() -> None:
    assert Path(TEMPLATES / "base.html").exists()


async def test_support_and_the_status_page_are_linked_where_their_addresses_are_known(
    fake_api: FakePlatformApi,
) -> None:
    fake_api.projects[0]["state"] = "suspended"
    for known in (True, False):
        more = {"support_address": "help@example.com", "status_url": "https://status.example.com"} if known else {}
        async with fake_api.serving() as url:
            jar = CookieJar(unsafe=True)
            async with TestClient(TestServer(make_app(settings(url, **more))), cookie_jar=jar) as client:
                console = Console(client, fake_api)
                page = await console.log_in()
        assert "Contact support" in page.text
        assert ('href="mailto:help@example.com"' in page.text) is known
        assert ('href="https://status.example.com"' in page.text) is known
        # Elsewhere it is the console's own.
        assert ('href="/status"' in page.text) is not known
