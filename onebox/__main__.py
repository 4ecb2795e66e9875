"""`python -m onebox run | demo | status`: the whole platform on this machine. What it does is in onebox/cli.py.

That takes half a second to load, and a person may already press Ctrl-C meanwhile.
"""

import os
import signal
import sys
from contextlib import suppress
from typing import Final

_STREAMS: Final = 3
# What shells report for a program ended by Ctrl-C: 128 + SIGINT.
_INTERRUPTED: Final = 130


def _leave(_number: int, _frame: object) -> None:
    with suppress(OSError):
        os.write(2, b"\nonebox: stopped before anything was started\n")
    os._exit(_INTERRUPTED)


def _prepare() -> None:
    """Take Ctrl-C, unless it is ignored here; give a closed standard stream a place to go.

    The next file that is opened would take a closed stream's number, and be written to as if it were the stream.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    for number in range(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


if __name__ == "__main__":
    _prepare()
    from onebox.cli import main

    sys.exit(main(sys.argv[1:]))
