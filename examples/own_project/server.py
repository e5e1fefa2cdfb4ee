"""A small backend that says everything in patches, one JSON object a line. Its tokens are JWTs (HS256, JWT_SECRET_KEY).

`--bug lose_event`: some patches never leave it. `--bug leak`: an answer quotes what somebody else has asked.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
from contextlib import suppress
from typing import Any

import jwt
from aiohttp import WSMsgType, web

BUGS = ("", "lose_event", "leak")
PIECE = 24


class Server:
    def __init__(self, secret: str, bug: str) -> None:
        self._secret, self._bug = secret, bug
        self._runs = itertools.count(1)
        self._asked: dict[str, str] = {}  # user → what they asked last

    async def healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "healthy"})

    async def patches(self, request: web.Request) -> web.WebSocketResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            user = jwt.decode(token, self._secret, ["HS256"], options={"verify_aud": False})["sub"]
        except (jwt.PyJWTError, KeyError):
            raise web.HTTPUnauthorized from None
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._answer(socket, user, json.loads(message.data))
        return socket

    async def _answer(self, socket: web.WebSocketResponse, user: str, said: dict[str, str]) -> None:
        number = next(self._runs)
        run = f"/r{number}"
        text = f"{said['ask']} It is all in hand. {said['note']}"
        if self._bug == "leak":
            text += next((asked for other, asked in self._asked.items() if other != user), "")
        self._asked[user] = f"{said['ask']} {said['note']}"
        pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
        sent = pieces[1:] if self._bug == "lose_event" and number % 4 == 0 else pieces
        await self._send(socket, {"op": "add", "path": run, "value": {"state": "open"}})
        await self._send(socket, {"op": "append", "path": f"{run}/notes", "value": "Looking it up."})
        await self._send(
            socket,
            {"op": "add", "path": f"{run}/tools/1", "value": {"name": "calendar"}},
            {"op": "add", "path": f"{run}/tools/1/result", "value": "free"},
        )
        for piece in sent:
            await self._send(socket, {"op": "append", "path": f"{run}/text", "value": piece})
        await self._send(socket, {"op": "replace", "path": run, "value": {"state": "done", "text": text}})

    async def _send(self, socket: web.WebSocketResponse, *patches: dict[str, Any]) -> None:
        await asyncio.sleep(0.005)
        if not socket.closed:
            await socket.send_str("\n".join(map(json.dumps, patches)))


async def serve(port: int, bug: str) -> None:
    server = Server(os.environ["JWT_SECRET_KEY"], bug)
    app = web.Application()
    app.add_routes([web.get("/healthz", server.healthz), web.get("/patches", server.patches)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    print(f"LISTENING ws://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9000, help="0: any free one")
    parser.add_argument("--bug", choices=BUGS, default="")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(options.port, options.bug))
