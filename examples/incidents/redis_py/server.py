"""A chat server that keeps its runs in Redis by `redis.asyncio`: one client, one pool of connections for everybody.

It speaks the netra wire. Tokens are JWTs (HS256, JWT_SECRET_KEY). Nothing in here knows of a leak: whether there is one
depends on the release of redis-py alone. `--redis HOST:PORT` is where its Redis is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time
from contextlib import suppress
from typing import Any

import jwt
from aiohttp import WSMsgType, web
from redis.asyncio import Redis
from redis.exceptions import RedisError

ISSUER, AUDIENCE, ENVIRONMENT = "netra-auth-service", "netra-platform", "local"
STEPS = 8
MODEL_S = (0.01, 0.03)  # what a model takes to think of one step
KEPT_S = 300


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


class Person:
    """A socket and its runs."""

    def __init__(self, socket: web.WebSocketResponse, user: str) -> None:
        self.socket, self.user = socket, user
        self.runs: dict[str, asyncio.Task[None]] = {}

    async def send(self, frame: dict[str, Any]) -> None:
        if not self.socket.closed:
            with suppress(ConnectionError):
                await self.socket.send_json({"timestamp": time.time(), **frame})


class Chat:
    """What a run is about stands in Redis, and is read there at each step, as a worker on any machine would do."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "healthy"})

    async def delete_thread(self, _request: web.Request) -> web.Response:
        return web.Response(status=204)  # nothing is kept of a thread

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        user = user_of(request.headers.get("Authorization", ""))
        if user is None:
            raise web.HTTPUnauthorized
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        person = Person(socket, user)
        await person.send({"type": "connection_established", "data": {"user_id": user}})
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._hear(person, message.json())
        finally:
            for run in person.runs.values():
                run.cancel()
        return socket

    async def _hear(self, person: Person, message: dict[str, Any]) -> None:
        kind, said = message["type"], message.get("payload", {})
        if kind == "execute_agent":
            run = asyncio.create_task(self._run(person, said))
            person.runs[said["run_id"]] = run
            run.add_done_callback(lambda _: person.runs.pop(said["run_id"], None))
        elif kind == "stop_agent":
            if run := person.runs.get(said["run_id"]):
                run.cancel()  # in the middle of a Redis command, more often than not
        elif kind == "ping":
            await person.send({"type": "pong", "data": {"timestamp": message.get("timestamp")}})
        else:
            message_id = message.get("message_id")
            await person.send({"type": "ack", "received_type": kind, "user_id": person.user, "message_id": message_id})

    async def _run(self, person: Person, said: dict[str, Any]) -> None:
        async def say(kind: str, **data: Any) -> None:
            ids = {"run_id": said["run_id"], "thread_id": said["thread_id"], "user_id": person.user}
            await person.send({"type": kind, **ids, "agent_name": "assistant", "data": data})

        await say("agent_started")
        try:
            await self._answer(say, f"run:{said['run_id']}", said)
        except RedisError as error:
            await say("agent_error", error_code="STORE", error_message=str(error))
        except asyncio.CancelledError:
            await say("agent_error", error_code="CANCELLED", error_message="The run was cancelled.")

    async def _answer(self, say: Any, key: str, said: dict[str, Any]) -> None:
        context = " ".join(said.get("context", {}).values())
        await self._redis.set(key, f"{said['user_request']} {context}".strip(), ex=KEPT_S)
        await say("agent_thinking", thought=f"The task is: {await self._redis.get(key)}")
        pieces = []
        for step in range(STEPS):
            await asyncio.sleep(random.uniform(*MODEL_S))
            pieces.append(f"{step + 1}. {await self._redis.get(key)} is in hand. ")
            await say("agent_response_chunk", chunk=pieces[-1], chunk_index=step)
        await say("agent_completed", result={"text": "".join(pieces)})


async def serve(port: int, redis: str) -> None:
    host, _, redis_port = redis.rpartition(":")
    client = Redis(host=host, port=int(redis_port), decode_responses=True)
    chat = Chat(client)
    app = web.Application()
    app.add_routes([web.get("/health", chat.health), web.get("/ws", chat.serve)])
    app.add_routes([web.delete("/api/threads/{id}", chat.delete_thread)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(f"LISTENING http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9000, help="0: any free one")
    parser.add_argument("--redis", default="127.0.0.1:6379", metavar="HOST:PORT")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(options.port, options.redis))
