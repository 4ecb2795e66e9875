"""`python -m frontend`: serve the console with the environment's settings."""

import sys

from aldea.service.lifecycle import run
from frontend.app import make_app
from frontend.settings import FrontendSettings

if __name__ == "__main__":
    run("frontend", FrontendSettings, make_app, arguments=sys.argv[1:])
