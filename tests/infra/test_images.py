"""Which image runs: by digest from the stack file, else what runs already; building must be requested."""

from typing import Any

import pytest

from aldea_infra.catalogue import Image
from aldea_infra.components.registry import image_tag, inputs_hash
from aldea_infra.config import stack_file
from aldea_infra.offline import mock_run
from aldea_infra.offline.graph import Graph
from aldea_infra.offline.mocks import DIGEST

BUILT = "docker-build:index:Image"
GIVEN = f"sha256:{'c' * 64}"


def run(**changes: Any) -> Graph:
    return mock_run.run("dev", values={**stack_file.read("dev"), **changes})


def digests(graph: Graph) -> dict[str, str]:
    return {image: reference.rpartition("@")[2] for image, reference in graph.outputs["images"].items()}


def test_without_images_what_runs_stays_and_nothing_is_built(dev: Graph) -> None:
    assert not dev.of(BUILT)
    assert digests(dev) == {image.value: DIGEST for image in Image}


def test_images_of_the_stack_file_win_and_the_others_stay() -> None:
    found = run(images={"backend": GIVEN})
    assert not found.of(BUILT)
    assert digests(found) == {image.value: GIVEN if image is Image.BACKEND else DIGEST for image in Image}


def test_building_must_be_requested_and_leaves_out_what_is_named() -> None:
    found = run(build=True, images={"backend": GIVEN})
    assert {each.name for each in found.of(BUILT)} == {
        f"{image}-image" for image in Image if image is not Image.BACKEND
    }
    assert all(each.retain_on_delete for each in found.of(BUILT))


@pytest.mark.parametrize(("architecture", "platform"), [("X86_64", "amd64"), ("ARM64", "arm64")])
def test_the_tag_says_what_the_image_runs_on(architecture: str, platform: str) -> None:
    stack = {**stack_file.read("dev")["stack"], "architecture": architecture}
    (built,) = [each for each in run(build=True, stack=stack).of(BUILT) if each.name == "backend-image"]
    assert [tag.rpartition(":")[2] for tag in built.inputs["tags"]] == [f"{inputs_hash(Image.BACKEND)}-{platform}"]
    assert built.inputs["platforms"] == [f"linux/{platform}"]
    assert image_tag(Image.BACKEND, f"linux/{platform}").endswith(f"-{platform}")


def test_a_stack_that_never_ran_says_how_the_first_images_are_built() -> None:
    with pytest.raises(Exception, match=r"pulumi config set build true, pulumi up, pulumi config rm build"):
        mock_run.run("dev", ran=False)
