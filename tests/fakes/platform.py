"""A stand-in platform that responds at once: live stream, upload and usage rows, each with what a test sets."""

import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from aldea.ids import new_request_id

PROJECT = "0192f0c4-0000-7000-8000-000000000001"


@dataclass
class FakePlatform:
    """What it says and how long it heard; every transcribed request becomes a row, final unless `rows_final`."""

    transcript: str
    duration: float
    close_code: int = 1000
    refuse: int = 0  # a status: every transcription is refused with it
    upload_body: bytes | None = None  # instead of a transcript
    billed: float | None = None  # audio seconds of the rows; None: what was heard
    rows_final: bool = True
    keys: list[str] = field(default_factory=list)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**24)
        app.router.add_get("/v1/listen", self._live)
        app.router.add_post("/v1/listen", self._upload)
        app.router.add_get("/v1/projects", self._projects)
        app.router.add_get("/v1/projects/{project}/requests/{request}", self._row)
        return app

    def _admit(self, request: web.Request) -> dict[str, str]:
        self.keys.append(request.headers["Authorization"])
        request_id = new_request_id()
        seconds = self.duration if self.billed is None else self.billed
        self.rows[request_id] = {
            "request_id": request_id,
            "audio_seconds": seconds,
            "state": "final" if self.rows_final else "open",
        }
        return {"dg-request-id": request_id}

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if self.refuse:
            return web.Response(status=self.refuse, headers={"dg-error": "Said why."})
        socket = web.WebSocketResponse()
        socket.headers.update(self._admit(request))
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT and json.loads(message.data)["type"] == "CloseStream":
                alternatives = [{"transcript": self.transcript}]
                results = {"type": "Results", "is_final": True, "channel": {"alternatives": alternatives}}
                await socket.send_json(results)
                await socket.send_json({"type": "Metadata", "duration": self.duration})
                await socket.close(code=self.close_code)
        return socket

    async def _upload(self, request: web.Request) -> web.Response:
        await request.read()
        if self.refuse:
            return web.json_response({"err_msg": "Said why."}, status=self.refuse)
        headers = self._admit(request)
        if self.upload_body is not None:
            return web.Response(body=self.upload_body, headers=headers)
        channels = [{"alternatives": [{"transcript": self.transcript}]}]
        response = {"metadata": {"duration": self.duration}, "results": {"channels": channels}}
        return web.json_response(response, headers=headers)

    async def _projects(self, _request: web.Request) -> web.Response:
        return web.json_response({"projects": [{"project_id": PROJECT, "name": "canary"}]})

    async def _row(self, request: web.Request) -> web.Response:
        row = self.rows.get(request.match_info["request"])
        if row is None or request.match_info["project"] != PROJECT:
            return web.json_response({"err_code": "NOT_FOUND"}, status=404)
        return web.json_response({"request": row})
