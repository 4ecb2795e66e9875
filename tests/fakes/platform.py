"""A stand-in platform that responds at once: live stream, upload and usage rows, each with what a test sets."""

import asyncio
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
    warnings: list[dict[str, str]] = field(default_factory=list)  # of parameters that had no effect
    keys: list[str] = field(default_factory=list)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)  # of uploads, as they came
    queries: list[dict[str, str]] = field(default_factory=list)
    api_keys: list[dict[str, Any]] = field(default_factory=list)
    made: list[dict[str, Any]] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    heard_audio: asyncio.Event = field(default_factory=asyncio.Event)
    heard_upload: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**24)
        app.router.add_get("/v1/listen", self._live)
        app.router.add_post("/v1/listen", self._upload)
        app.router.add_post("/v1/audio/transcriptions", self._captions)
        app.router.add_get("/v1/projects", self._projects)
        app.router.add_get("/v1/projects/{project}/keys", self._keys)
        app.router.add_post("/v1/projects/{project}/keys", self._make_key)
        app.router.add_delete("/v1/projects/{project}/keys/{key}", self._revoke_key)
        app.router.add_get("/v1/projects/{project}/usage", self._usage)
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
            self.heard_audio.set()
            if message.type is WSMsgType.TEXT and json.loads(message.data)["type"] == "CloseStream":
                alternatives = [{"transcript": self.transcript}]
                results = {"type": "Results", "is_final": True, "channel": {"alternatives": alternatives}}
                await socket.send_json(results)
                await socket.send_json({"type": "Metadata", **self._metadata()})
                await socket.close(code=self.close_code)
        return socket

    async def _upload(self, request: web.Request) -> web.Response:
        self.heard_upload.set()
        self.bodies.append(await request.read())
        self.queries.append(dict(request.query))
        if self.refuse:
            return web.json_response({"err_msg": "Said why."}, status=self.refuse)
        headers = self._admit(request)
        if self.upload_body is not None:
            return web.Response(body=self.upload_body, headers=headers)
        channels = [{"alternatives": [{"transcript": self.transcript}]}]
        response = {"metadata": self._metadata(), "results": {"channels": channels}}
        return web.json_response(response, headers=headers)

    def _metadata(self) -> dict[str, Any]:
        return {"duration": self.duration, **({"warnings": self.warnings} if self.warnings else {})}

    async def _captions(self, request: web.Request) -> web.Response:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        self.bodies.append(file.file.read())
        return web.Response(text=f"{form['response_format']!s} of {self.transcript}\n")

    async def _keys(self, _request: web.Request) -> web.Response:
        return web.json_response({"api_keys": [{"api_key": key} for key in self.api_keys]})

    async def _make_key(self, request: web.Request) -> web.Response:
        self.made.append(await request.json())
        return web.json_response({"api_key_id": "k2", "key": "org_new"})

    async def _revoke_key(self, request: web.Request) -> web.Response:
        self.revoked.append(request.match_info["key"])
        return web.json_response({"message": "done"})

    async def _usage(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers["Authorization"])
        return web.json_response({"results": [{"start": "2026-03-31", "requests": 3, "total_hours": 1.5}]})

    async def _projects(self, _request: web.Request) -> web.Response:
        return web.json_response({"projects": [{"project_id": PROJECT, "name": "canary"}]})

    async def _row(self, request: web.Request) -> web.Response:
        row = self.rows.get(request.match_info["request"])
        if row is None or request.match_info["project"] != PROJECT:
            return web.json_response({"err_code": "NOT_FOUND"}, status=404)
        return web.json_response({"request": row})
