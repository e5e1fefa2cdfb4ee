"""A Starlette chat server on uvicorn that reads a conversation once per request and keeps it in `request.state`.

It speaks the per_run wire: a run is made over HTTP and has a socket of its own. Tokens are JWTs (HS256,
JWT_SECRET_KEY). Nothing in here knows of a leak: whether there is one depends on the release of uvicorn alone.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import uuid
from dataclasses import dataclass, field
from typing import Any

import jwt
import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed

ISSUER, AUDIENCE, ENVIRONMENT = "netra-auth-service", "netra-platform", "local"
PIECE_CHARS = 40
MODEL_S = 0.02  # what a model takes for one piece


@dataclass
class Conversation:
    id: str
    user: str
    said: list[str] = field(default_factory=list)


@dataclass
class Run:
    user: str
    answer: str


CONVERSATIONS: dict[str, Conversation] = {}
RUNS: dict[str, Run] = {}


def user_of(connection: HTTPConnection) -> str | None:
    """Whose access token it shows; None where that is none of this server's."""
    token = connection.headers.get("Authorization", "").removeprefix("Bearer ")
    try:
        claims = jwt.decode(token, os.environ["JWT_SECRET_KEY"], ["HS256"], audience=AUDIENCE, issuer=ISSUER)
    except jwt.PyJWTError:
        return None
    ours = claims.get("token_type") == "access" and claims.get("env") == ENVIRONMENT
    return claims.get("sub") if ours else None


def conversation_of(request: Request, user: str, body: dict[str, Any]) -> Conversation:
    """Looked up once a request, however many ask for it: `request.state` is the place for what lives that long."""
    if not hasattr(request.state, "conversation"):
        wanted = CONVERSATIONS.get(body.get("conversation", ""))
        if wanted is None or wanted.user != user:
            wanted = Conversation(uuid.uuid4().hex, user)
            CONVERSATIONS[wanted.id] = wanted
        request.state.conversation = wanted
    return request.state.conversation


async def health(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "healthy"})


async def make_run(request: Request) -> JSONResponse:
    user = user_of(request)
    if user is None:
        return JSONResponse({"detail": "authentication failed"}, status_code=401)
    body = await request.json()
    remembered = conversation_of(request, user, body).said[-3:]
    asked = " ".join([body["input"], *body.get("context", {}).values()])
    conversation_of(request, user, body).said.append(asked)
    run_id = uuid.uuid4().hex
    RUNS[run_id] = Run(user, f"You asked: {asked}. Before that you said: {' | '.join(remembered) or 'nothing'}.")
    answer = {"run": run_id, "socket": f"/ws/runs/{run_id}", "conversation": conversation_of(request, user, body).id}
    return JSONResponse(answer, status_code=201)


async def run_socket(socket: WebSocket) -> None:
    """Streams a run to the user who made it, once."""
    run = RUNS.get(socket.path_params["run"])
    if run is None or run.user != user_of(socket):
        await socket.close(1008)
        return
    del RUNS[socket.path_params["run"]]
    await socket.accept()
    seq = 0

    async def say(event: str, **fields: Any) -> None:
        nonlocal seq
        await socket.send_json({"event": event, "seq": seq, **fields})
        seq += 1

    try:
        await say("run.started")
        await say("thought", thought="Reading what was said.")
        for at in range(0, len(run.answer), PIECE_CHARS):
            await asyncio.sleep(MODEL_S)
            await say("token", text=encoded(run.answer[at : at + PIECE_CHARS]))
        await say("run.done", text=encoded(run.answer))
        await socket.close()
    except (WebSocketDisconnect, ConnectionClosed):
        pass  # the client went away


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


app = Starlette(
    routes=[
        Route("/health", health),
        Route("/runs", make_run, methods=["POST"]),
        WebSocketRoute("/ws/runs/{run}", run_socket),
    ]
)


class Server(uvicorn.Server):
    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"LISTENING http://127.0.0.1:{port}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9000, help="0: any free one")
    Server(uvicorn.Config(app, host="127.0.0.1", port=parser.parse_args().port, log_level="warning")).run()
