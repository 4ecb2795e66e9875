"""Numbers that the processes of a user hold, each by one process at a time: bytes of a file, locked."""

import fcntl
import os
import tempfile
from pathlib import Path


class ByteLocks:
    """The locks in one file. The kernel gives back those of a process that ends; the file itself stays empty."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None  # its descriptor; to close it would give every lock back
        self._owner = 0

    @classmethod
    def of_this_user(cls, name: str) -> "ByteLocks":
        """Those that all processes of the user know by this name."""
        return cls(Path(tempfile.gettempdir()) / f"{name}-{os.getuid()}")

    def take(self, number: int) -> bool:
        """Whether nobody else held the number; it is this process's then. One that it holds, it may take again."""
        try:
            fcntl.lockf(self._open(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError:
            return False
        return True

    def wait(self, number: int) -> None:
        """Take the number as soon as it is free; those who wait are served in their order."""
        fcntl.lockf(self._open(), fcntl.LOCK_EX, 1, number)

    def give_back(self, number: int) -> None:
        """Let another process take the number."""
        fcntl.lockf(self._open(), fcntl.LOCK_UN, 1, number)

    def _open(self) -> int:
        if self._file is None or self._owner != os.getpid():  # a fork has the file, but not the locks
            self._file, self._owner = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), os.getpid()
        return self._file
