"""`python -m ws_proxy`: serve live transcription with the environment's settings."""

import sys

from aldea.service.lifecycle import run
from ws_proxy.app import make_app
from ws_proxy.settings import Settings

if __name__ == "__main__":
    run("ws_proxy", Settings, make_app, arguments=sys.argv[1:])
