"""The model that the STT servers recognize with by default, as the management API describes it."""

import uuid
from typing import Final

_NAMESPACE: Final = uuid.UUID("7d1f9c4e-3b52-4c0e-9a55-2f6e0d1c8b3a")


def uuid_of(engine: str, name: str, version: str) -> str:
    """A model's id on the wire: the same for the same model everywhere."""
    return str(uuid.uuid5(_NAMESPACE, f"{engine}/{name}/{version}"))


# What stt_api chooses where the engine installs, at the version that the requirements lock.
ARCHITECTURE: Final = "moonshine"
NAME: Final = "moonshine-tiny-en"
VERSION: Final = "0.0.73"
UUID: Final = uuid_of(ARCHITECTURE, NAME, VERSION)
LANGUAGES: Final = ("en", "en-US")
