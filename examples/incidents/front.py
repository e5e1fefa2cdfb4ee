"""A reverse proxy for HTTP that keeps its connections to the server, and shares them among its clients, as they all do.

`python front.py --to http://HOST:PORT` prints `LISTENING http://HOST:PORT` once it listens.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from contextlib import suppress

import aiohttp
from aiohttp import web

#: connections to the server; a request waits for one that is free
CONNECTIONS = 4
#: headers that concern one connection, not the request or the answer
HOP_BY_HOP = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding", "upgrade"})


def passed_on(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP]


async def listen(upstream: str) -> web.AppRunner:
    """A proxy to `upstream` on a free port of loopback."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    session = aiohttp.ClientSession(connector=connector, auto_decompress=False)

    async def forward(request: web.Request) -> web.Response:
        body = await request.read()
        try:
            async with session.request(
                request.method, upstream + request.path_qs, headers=passed_on(request.headers), data=body
            ) as answer:
                return web.Response(status=answer.status, headers=passed_on(answer.headers), body=await answer.read())
        except aiohttp.ClientError as error:
            raise web.HTTPBadGateway(text=str(error)) from None

    async def close(_app: web.Application) -> None:
        await session.close()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    app.on_cleanup.append(close)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


async def main(upstream: str) -> None:
    runner = await listen(upstream)
    print(f"LISTENING http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", required=True, metavar="URL")
    with suppress(KeyboardInterrupt):
        asyncio.run(main(parser.parse_args().to.rstrip("/")))
