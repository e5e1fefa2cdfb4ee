"""A Django chat server on Channels: HTTP by `channels.http.AsgiHandler`, sockets by a consumer, served by Daphne.

It speaks the per_run wire: a run is made over HTTP and has a socket of its own. Tokens are JWTs (HS256,
JWT_SECRET_KEY). Nothing in here knows of a leak: whether there is one depends on the release of Channels alone.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import time
import uuid
from typing import Any

import django
import jwt
from django.conf import settings

settings.configure(ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__, SECRET_KEY=uuid.uuid4().hex, MIDDLEWARE=[])
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402  Django must be set up before these
from channels.http import AsgiHandler  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from daphne.server import Server  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402

ISSUER, AUDIENCE, ENVIRONMENT = "netra-auth-service", "netra-platform", "local"
PIECE_CHARS = 40
MODEL_S = 0.02  # what a model takes for one piece
DATABASE_S = 0.01  # what a database takes to keep a run


#: ticket → what the agent will answer. A ticket opens the socket of one run, once; nobody can guess it.
TICKETS: dict[str, str] = {}


def user_of(token: str) -> str | None:
    """Whose access token this is; None where it is none of this server's."""
    try:
        claims = jwt.decode(
            token.removeprefix("Bearer "), os.environ["JWT_SECRET_KEY"], ["HS256"], audience=AUDIENCE, issuer=ISSUER
        )
    except jwt.PyJWTError:
        return None
    ours = claims.get("token_type") == "access" and claims.get("env") == ENVIRONMENT
    return claims.get("sub") if ours else None


def health(_request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "healthy"})


def make_run(request: HttpRequest) -> JsonResponse:
    user = user_of(request.headers.get("Authorization", ""))
    if user is None:
        return JsonResponse({"detail": "authentication failed"}, status=401)
    body = json.loads(request.body)
    asked = " ".join([body["input"], *body.get("context", {}).values()])
    ticket = uuid.uuid4().hex
    TICKETS[ticket] = f"You asked: {asked}. It is all in hand."
    time.sleep(DATABASE_S)
    conversation = body.get("conversation") or uuid.uuid4().hex
    answer = {"run": uuid.uuid4().hex, "socket": f"/ws/runs/{ticket}", "conversation": conversation}
    return JsonResponse(answer, status=201)


class RunSocket(AsyncWebsocketConsumer):
    """Streams a run to whoever is signed in and shows its ticket."""

    async def connect(self) -> None:
        user = user_of(dict(self.scope["headers"]).get(b"authorization", b"").decode())
        answer = TICKETS.pop(self.scope["url_route"]["kwargs"]["ticket"], None) if user else None
        if answer is None:
            await self.close()
            return
        await self.accept()
        self.sent = 0
        self.work = asyncio.create_task(self.answer(answer))

    async def disconnect(self, code: int) -> None:
        if hasattr(self, "work"):
            self.work.cancel()

    async def answer(self, text: str) -> None:
        await self.say("run.started")
        await self.say("thought", thought="Reading what was said.")
        for at in range(0, len(text), PIECE_CHARS):
            await asyncio.sleep(MODEL_S)
            await self.say("token", text=encoded(text[at : at + PIECE_CHARS]))
        await self.say("run.done", text=encoded(text))
        await self.close()

    async def say(self, event: str, **fields: Any) -> None:
        await self.send(json.dumps({"event": event, "seq": self.sent, **fields}))
        self.sent += 1


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


urlpatterns = [path("health", health), path("runs", make_run)]
sockets = URLRouter([path("ws/runs/<str:ticket>", RunSocket.as_asgi())])
application = ProtocolTypeRouter({"http": AsgiHandler(), "websocket": sockets})


class Announcing(Server):
    """Says where it listens, once it does."""

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
        print(f"LISTENING http://127.0.0.1:{port.getHost().port}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9000, help="0: any free one")
    where = f"tcp:port={parser.parse_args().port}:interface=127.0.0.1"
    Announcing(application, endpoints=[where], verbosity=0).run()
