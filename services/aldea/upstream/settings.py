"""The settings of a service that sends requests to STT servers."""

from typing import Final

from pydantic import Field, SecretStr

from aldea.settings import ServiceSettings
from aldea.upstream.urls import ServerList

SERVER_LIST_HELP: Final = (
    "comma separated base URLs of STT servers, this lane's own first, such as http://stt-a:8800,http://stt-b:8800;"
    " every address of a name is a server"
)


class UpstreamSettings(ServiceSettings):
    """Which STT servers there are, and how they are found."""

    stt_upstreams: ServerList = Field(description=SERVER_LIST_HELP)
    stt_upstream_token: SecretStr | None = Field(None, description="what the STT servers take as Authorization: Token")
    # Private zones' records live 60 s; a replaced server is up in minutes.
    upstream_name_seconds: float = Field(
        10.0, ge=1, le=300, description="how often the servers' names are resolved again, in seconds, 1 to 300"
    )
