from uuid import UUID

from tests.fakes.platform_api import OTHER_PROJECT, PROJECT, refusal
from tests.unit.frontend.conftest import Console


async def test_the_project_that_was_looked_at_last_opens_next_time(signed_in: Console) -> None:
    await signed_in.get(f"/projects/{OTHER_PROJECT}/settings")
    assert (await signed_in.get("/", follow=False)).headers["Location"] == f"/projects/{OTHER_PROJECT}/overview"
    signed_in.api.projects.pop()
    assert (await signed_in.get("/", follow=False)).headers["Location"] == f"/projects/{PROJECT}/overview"


async def test_whoever_has_no_project_is_led_to_making_one(signed_in: Console) -> None:
    signed_in.api.projects.clear()
    page = await signed_in.get("/")
    assert page.path == "/projects/new"
    made = await signed_in.submit("/projects/new", {"name": "Fresh"}, follow=False)
    assert made.headers["Location"] == f"/projects/{signed_in.api.projects[0]['project_id']}/overview"


async def test_a_name_that_the_api_refuses_comes_back_in_the_form(signed_in: Console) -> None:
    signed_in.api.refuse["/projects"] = lambda: refusal(409, "CONFLICT", "You own 50 projects.")
    page = await signed_in.submit("/projects/new", {"name": "One more"})
    assert page.status == 422
    assert "You own 50 projects." in page.text
    assert 'value="One more"' in page.text


async def test_a_project_name_is_escaped_wherever_it_stands(signed_in: Console) -> None:
    page = await signed_in.get(signed_in.project("settings"))
    assert "Demo &lt;b&gt;" in page.text
    assert "Demo <b>" not in page.text


async def test_a_foreign_or_malformed_project_is_not_there(signed_in: Console) -> None:
    for project in (str(UUID(int=9)), "nonsense", f"{PROJECT}x"):
        assert (await signed_in.get(f"/projects/{project}/settings")).status == 404


async def test_a_member_is_offered_neither_renaming_nor_deleting(signed_in: Console) -> None:
    page = await signed_in.get(f"/projects/{OTHER_PROJECT}/settings")
    assert "Delete project" not in page.text
    assert "Rename" not in page.text
    assert "Leave project" in page.text


async def test_renaming_and_leaving_call_the_api(signed_in: Console) -> None:
    page = await signed_in.submit(signed_in.project("settings"), {"name": " Better "})
    assert "The project was renamed." in page.text
    assert signed_in.api.sent("PATCH", PROJECT) == {"name": "Better"}
    await signed_in.submit(signed_in.project("leave"), follow=False)
    assert signed_in.api.calls[-1][:3] == ("DELETE", f"/v1/projects/{PROJECT}/leave", {})
    await signed_in.submit(signed_in.project("leave"), {"keys": "keep"}, follow=False)
    assert signed_in.api.calls[-1][:3] == ("DELETE", f"/v1/projects/{PROJECT}/leave", {"keys": "keep"})


async def test_a_project_is_deleted_only_when_its_name_is_typed(signed_in: Console) -> None:
    page = await signed_in.submit(signed_in.project("delete"), {"confirm": "demo"})
    assert page.status == 422
    assert not [call for call in signed_in.api.calls if call[0] == "DELETE"]
    done = await signed_in.submit(signed_in.project("delete"), {"confirm": "Demo <b>"}, follow=False)
    assert done.headers["Location"] == "/"
    assert signed_in.api.calls[-1][:2] == ("DELETE", f"/v1/projects/{PROJECT}")


async def test_a_refused_change_keeps_what_was_typed_and_says_so_in_its_form(signed_in: Console) -> None:
    def alert_before(form: str, text: str) -> bool:
        return "This will not do." in text.partition(f'/{form}" class=')[0].rpartition("<section")[2]

    for form, fields, kept in (
        ("settings", {"name": "Mine"}, 'value="Mine"'),
        ("leave", {"keys": "keep"}, 'value="keep" checked'),
        ("delete", {"confirm": "Demo <b>"}, 'value="Demo &lt;b&gt;"'),
    ):
        for path in (PROJECT, f"{PROJECT}/leave"):
            signed_in.api.refuse_changes[path] = lambda: refusal(409, "CONFLICT", "This will not do.")
        page = await signed_in.submit(signed_in.project(form), fields)
        assert page.status == 422
        assert kept in page.text
        shown = page.text.partition('id="dialog"')[0]
        assert shown.count("This will not do.") == 1
        assert alert_before(form, shown)


async def test_the_switcher_keeps_the_section(signed_in: Console) -> None:
    assert f'href="/projects/{OTHER_PROJECT}/settings"' in (await signed_in.get(signed_in.project("settings"))).text


async def test_a_suspended_project_says_so_on_every_page(signed_in: Console) -> None:
    signed_in.api.projects[0]["state"] = "suspended"
    assert "This project is suspended" in (await signed_in.get(signed_in.project("settings"))).text


async def test_a_projects_own_address_is_its_overview(signed_in: Console) -> None:
    assert (await signed_in.get(f"/projects/{PROJECT}")).path == f"/projects/{PROJECT}/overview"
