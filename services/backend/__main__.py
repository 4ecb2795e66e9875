"""Run the Platform API, migrate its database, or set up a first account: see `python -m backend --help`."""

import sys

from backend.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
