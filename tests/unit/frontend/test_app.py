from frontend.app import make_app
from tests.unit.frontend.conftest import Console, settings


def test_requests_have_spans_only_where_these_are_sent_somewhere() -> None:
    silent, traced = (
        make_app(settings(otel_exporter_otlp_endpoint=endpoint)) for endpoint in (None, "http://127.0.0.1:4318")
    )
    assert len(traced.middlewares) == len(silent.middlewares) + 1


async def test_readiness_is_the_apis_and_liveness_is_not(console: Console) -> None:
    assert (await console.get("/readyz")).status == 200
    console.api.down = True
    not_ready = await console.get("/readyz")
    assert not_ready.status == 503
    assert "platform api" in not_ready.text
    assert (await console.get("/healthz")).status == 200


async def test_the_first_page_loads_only_files_that_exist(console: Console) -> None:
    page = (await console.get("/login")).text
    names = [part.partition('"')[0] for part in page.split('"/static/')[1:]]
    assert len(names) >= 5
    for name in names:
        assert (await console.get("/static/" + name.partition("#")[0])).status == 200, name


async def test_a_form_too_large_for_any_page_is_refused_with_a_page(console: Console) -> None:
    page = await console.post("/login", {"email": "x" * 100_000})
    assert page.status == 413
    assert "Too large" in page.text
