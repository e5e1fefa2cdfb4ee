"""The floor: picows on uvloop, which reads messages and decodes nothing.

It looks at the first bytes of a message for the end of a run, and at its last ones for the sender's stamp.
    python bench/peers/picows_reader.py ws://…/ws     (and BENCH_TOKENS, BENCH_CA, BENCH_OUT in the environment)
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import time
from array import array
from pathlib import Path
from typing import Any

import picows
import uvloop

_COMPLETED = b'{"type":"agent_completed"'
_WELCOME = b'{"type":"connection_established"'
_STAMP = slice(-18, -1)
#: events outside of the window that is measured bear an instant of 2001
_MEASURED_AFTER_S = 1.5e9
_delays_ns = array("q")


class Reader(picows.WSListener):  # type: ignore[misc]
    def __init__(self, person: dict[str, str]) -> None:
        self._person = person
        self._runs = 0

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        if frame.msg_type is not picows.WSMsgType.TEXT:
            if frame.msg_type is picows.WSMsgType.CLOSE:
                transport.disconnect()
            return
        now_ns = time.time_ns()
        payload = frame.get_payload_as_bytes()
        if payload.startswith(_WELCOME):
            self._ask(transport)
            return
        sent_s = float(payload[_STAMP])
        if sent_s > _MEASURED_AFTER_S:
            _delays_ns.append(now_ns - int(sent_s * 1e9))
        if payload.startswith(_COMPLETED):
            self._ask(transport)

    def _ask(self, transport: Any) -> None:
        self._runs += 1
        me = self._person
        payload = {
            "user_request": me["ask"],
            "thread_id": me["thread"],
            "run_id": f"run-{me['name']}-{self._runs}",
        }
        transport.send(picows.WSMsgType.TEXT, json.dumps({"type": "execute_agent", "payload": payload}).encode())


async def read_all(url: str, people: list[dict[str, str]], ca: str) -> None:
    tls = ssl.create_default_context(cafile=ca) if url.startswith("wss") else None
    transports = []
    for person in people:
        transport, _ = await picows.ws_connect(
            lambda person=person: Reader(person), url, ssl_context=tls,
            extra_headers={"Authorization": f"Bearer {person['token']}"},
        )  # fmt: skip
        transports.append(transport)
    await asyncio.gather(*(transport.wait_disconnected() for transport in transports), return_exceptions=True)


def main() -> None:
    people = json.loads(Path(os.environ["BENCH_TOKENS"]).read_text())
    uvloop.run(read_all(sys.argv[1], people, os.environ["BENCH_CA"]))
    Path(os.environ["BENCH_OUT"]).write_bytes(_delays_ns.tobytes())


if __name__ == "__main__":
    main()
