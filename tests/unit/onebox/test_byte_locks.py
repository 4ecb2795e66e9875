import os
from pathlib import Path

from onebox.byte_locks import ByteLocks


def in_a_child(path: Path, number: int) -> bool:
    """Whether another process gets the number."""
    child = os.fork()
    if child == 0:
        os._exit(int(ByteLocks(path).take(number)))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_a_number_is_one_processs_at_a_time(tmp_path: Path) -> None:
    locks = ByteLocks(tmp_path / "locks")
    assert locks.take(7)
    assert locks.take(7)  # it is ours already
    assert not in_a_child(tmp_path / "locks", 7)
    assert in_a_child(tmp_path / "locks", 8)
    locks.give_back(7)
    assert in_a_child(tmp_path / "locks", 7)
    locks.wait(7)
    assert not in_a_child(tmp_path / "locks", 7)


def test_the_file_is_the_users_own() -> None:
    assert ByteLocks.of_this_user("x")._path.name == f"x-{os.getuid()}"
