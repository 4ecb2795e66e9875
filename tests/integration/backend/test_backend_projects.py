"""Projects over HTTP with an API key: read, renamed, their limits shown; and not by other tenants."""

from tests.integration.conftest import Api, Tenant


async def test_a_key_sees_its_own_project_only(api: Api, ann: Tenant, bob: Tenant) -> None:
    listed = (await api.call("GET", "/v1/projects", ann.key))["projects"]
    assert listed == [{"project_id": ann.project_id, "name": "ann's project"}]
    detail = await api.call("GET", f"/v1/projects/{ann.project_id}", ann.key)
    assert detail["name"] == "ann's project"
    assert detail["mip_opt_out"] is True
    refused = await api.call("GET", f"/v1/projects/{bob.project_id}", ann.key, status=404)
    assert refused["err_code"] == "PROJECT_NOT_FOUND"


async def test_a_project_is_renamed(api: Api, ann: Tenant) -> None:
    path = f"/v1/projects/{ann.project_id}"
    assert "message" in await api.call("PATCH", path, ann.key, {"name": "Call centre"})
    assert (await api.call("GET", path, ann.key))["name"] == "Call centre"
    await api.call("PATCH", path, ann.key, {"name": ""}, status=400)


async def test_a_key_neither_makes_nor_deletes_projects(api: Api, ann: Tenant) -> None:
    await api.call("POST", "/v1/projects", ann.key, {"name": "second"}, status=403)
    await api.call("DELETE", f"/v1/projects/{ann.project_id}", ann.key, status=403)


async def test_limits_are_shown_with_what_is_used(api: Api, ann: Tenant) -> None:
    limits = await api.call("GET", f"/v1/projects/{ann.project_id}/limits", ann.key)
    assert limits["requests_per_minute"] == 600
    assert limits["used"] == {"month_audio_seconds": 0.0, "month_charge_micros": 0, "streams_now": 0}


async def test_nobody_without_a_good_credential_learns_anything(api: Api, ann: Tenant) -> None:
    mistyped = ann.key[:-1] + ("y" if ann.key.endswith("x") else "x")
    for credential in (None, "org_wrong", mistyped, "sess_wrong"):
        for path in ("/v1/projects", f"/v1/projects/{ann.project_id}", "/v1/projects/no-id"):
            error = await api.call("GET", path, credential, status=401)
            assert error["err_code"] == "INVALID_AUTH"
