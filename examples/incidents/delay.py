"""A TCP proxy that makes a way longer: what it receives leaves it MS milliseconds later, in order, in both directions.

`python delay.py --to HOST:PORT --ms 10` prints `LISTENING HOST:PORT` once it listens. It stands for the network between
a server and its store, which on one machine takes no time at all.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import suppress

READ_BYTES = 1 << 16


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Pass on what comes, `delay_s` later, and at the end the end."""
    loop = asyncio.get_running_loop()
    try:
        while data := await reader.read(READ_BYTES):
            loop.call_later(delay_s, _write, writer, data)
    except ConnectionError:
        pass
    finally:
        loop.call_later(delay_s, writer.close)


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)


async def listen(host: str, port: int, delay_s: float) -> asyncio.Server:
    """A proxy to `host:port` on a free port of loopback."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, far_writer, delay_s), pump(far_reader, writer, delay_s))

    return await asyncio.start_server(serve, "127.0.0.1", 0)


async def main(host: str, port: int, delay_s: float) -> None:
    server = await listen(host, port, delay_s)
    own_host, own_port = server.sockets[0].getsockname()
    print(f"LISTENING {own_host}:{own_port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--ms", type=float, default=10.0, help="one way")
    options = parser.parse_args()
    to_host, _, to_port = options.to.rpartition(":")
    with suppress(KeyboardInterrupt):
        asyncio.run(main(to_host, int(to_port), options.ms / 1000))
