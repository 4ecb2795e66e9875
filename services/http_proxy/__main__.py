"""`python -m http_proxy`: serve recorded audio with the environment's settings."""

import sys

from aldea.service.lifecycle import run
from http_proxy.app import make_app
from http_proxy.client_connection import upload_runner
from http_proxy.settings import HttpProxySettings

if __name__ == "__main__":
    run("http_proxy", HttpProxySettings, make_app, make_runner=upload_runner, arguments=sys.argv[1:])
