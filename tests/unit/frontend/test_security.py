from frontend.security import content_security_policy, headers
from tests.unit.frontend.conftest import Console, settings


def test_the_policy_lets_nothing_inline_run_and_reaches_the_api_alone() -> None:
    policy = content_security_policy(settings())
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "connect-src 'self' http://api.localhost:8080 ws://api.localhost:8080;" in policy
    assert "frame-ancestors 'none'" in policy


def test_https_is_insisted_on_only_where_it_is_spoken() -> None:
    assert "Strict-Transport-Security" not in headers(settings())
    assert "max-age=" in headers(settings(cookie_secure=True))["Strict-Transport-Security"]


async def test_every_response_carries_the_headers_pages_errors_files_and_health(console: Console) -> None:
    for path in ("/login", "/nothing", "/static/x/css/base.css", "/static/x/none", "/healthz"):
        found = (await console.get(path)).headers
        assert "default-src 'none'" in found["Content-Security-Policy"], path
        assert found["X-Content-Type-Options"] == "nosniff"
        assert found["Referrer-Policy"] == "same-origin"
        assert "microphone=(self)" in found["Permissions-Policy"]
        assert "dg-request-id" in found


async def test_a_page_is_kept_by_no_cache(signed_in: Console) -> None:
    assert (await signed_in.get("/account")).headers["Cache-Control"] == "no-store"
