"""`python -m stt_api`."""

import sys

from aldea.service.lifecycle import run
from stt_api.app import make_app
from stt_api.settings import SttSettings

if __name__ == "__main__":
    run("stt_api", SttSettings, make_app, arguments=sys.argv[1:])
