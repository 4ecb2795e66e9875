import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from onebox.byte_locks import ByteLocks
from onebox.ports import Reservations, free_port, port_accepts, port_is_free

CHOOSER = """
import sys
from pathlib import Path
from onebox.byte_locks import ByteLocks
from onebox.ports import Reservations
reservations = Reservations(ByteLocks(Path(sys.argv[1])))
print(*(reservations.take(int(port)) for port in sys.argv[2:]), flush=True)
sys.stdin.read()
"""


def test_a_free_port_is_free_and_a_used_one_accepts() -> None:
    port = free_port()
    assert port_is_free(port)
    with closing(socket.create_server(("127.0.0.1", port))):
        assert not port_is_free(port)
        assert port_accepts(port)
    assert not port_accepts(port)


def test_a_port_is_chosen_once() -> None:
    ports = [free_port() for _ in range(100)]
    assert len(set(ports)) == len(ports)


def test_what_one_process_has_chosen_no_other_one_gets_until_it_ends(tmp_path: Path) -> None:
    ours = Reservations(ByteLocks(tmp_path / "ports"))
    assert ours.take(20_001)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    argv = [sys.executable, "-c", CHOOSER, str(tmp_path / "ports"), "20001", "20002"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as other:
        assert other.stdout is not None
        assert other.stdout.readline().split() == [b"False", b"True"]
        assert not ours.take(20_002)
    assert ours.take(20_002)


def test_a_port_that_is_given_back_and_an_old_choice_are_free_again(tmp_path: Path) -> None:
    ours = Reservations(ByteLocks(tmp_path / "ports"))
    assert ours.take(20_001)
    assert not ours.take(20_001)
    ours.give_back(20_001)
    for port in range(20_001, 20_401):
        assert ours.take(port)
    assert ours.take(20_001)
