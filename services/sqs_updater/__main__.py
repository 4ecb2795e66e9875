"""`python -m sqs_updater` and `python -m sqs_updater replay`."""

import sys

from sqs_updater.cli import main

sys.exit(main(sys.argv[1:]))
