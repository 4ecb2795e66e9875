"""Which tests run in the same process: those of a file, and those that share what takes long to start."""

from typing import Final

from xdist.scheduler import LoadScopeScheduling

# The whole platform and a browser, started once for all files of a folder; the two stacks' graphs, made once.
SHARED_BY_FOLDER: Final = ("tests/e2e/", "tests/infra/")
# These start platforms of their own, and wait for most of their time.
ALONE: Final = tuple(f"tests/e2e/test_{name}.py" for name in ("alerts", "demo", "newcomer", "onebox", "services"))


def group_of(test_id: str) -> str:
    """The group that a test belongs to; each group is given to one process, in the order of collection."""
    file = test_id.partition("::")[0]
    if file in ALONE:
        return file
    return next((folder for folder in SHARED_BY_FOLDER if file.startswith(folder)), file)


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """Hands out groups. (pytest-xdist's own way of naming groups does not know pytest 9's test ids.)"""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
