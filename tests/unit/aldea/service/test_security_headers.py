from aldea.service.security_headers import browser_headers


def test_a_response_is_not_sniffed_framed_or_shared() -> None:
    assert browser_headers(tls=False) == {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }


def test_browsers_keep_to_tls_where_there_is_tls() -> None:
    assert browser_headers(tls=True)["Strict-Transport-Security"] == "max-age=63072000; includeSubDomains"
