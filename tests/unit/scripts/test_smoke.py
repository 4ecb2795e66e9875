"""The smoke test's address and key; the canary itself has tests of its own."""

from tests.unit.scripts.conftest import Place


def test_a_stack_is_tried_three_times_through_its_own_address_with_its_own_key(place: Place) -> None:
    place.prints("config-get", "org_key-of-the-stack")
    said = place.run("smoke", STACK="prod")
    assert said.returncode == 0, said.stderr
    runs = [line for line in place.calls if "canary" in line and line.startswith("python")]
    assert runs == ["python -m aldea.canary --url https://api.aldea.ai"] * 3
    assert place.calls.count("key org_key-of-the-stack") == 3
    assert "org_key" not in said.stdout + said.stderr


def test_the_first_failing_round_ends_it(place: Place) -> None:
    place.prints("config-get", "org_key")
    place.fail("python")
    assert place.run("smoke", STACK="dev").returncode == 1
    assert sum("aldea.canary" in line for line in place.calls) == 1


def test_without_a_stack_the_onebox_here_is_tried_once(place: Place) -> None:
    (place.root / ".onebox").mkdir()
    (place.root / ".onebox" / "demo.key").write_text("org_demo")
    assert place.run("smoke", ONEBOX_PORT="8090").returncode == 0
    assert place.calls == ["python -m aldea.canary --url http://127.0.0.1:8090", "key org_demo"]


def test_without_anything_to_try_it_says_what_to_start(place: Place) -> None:
    said = place.run("smoke")
    assert said.returncode == 2
    assert "make run" in said.stderr
