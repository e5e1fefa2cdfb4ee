"""What people write today: a Locust user around websocket-client, one `request` event for every message.

Reads its order from the environment (BENCH_TOKENS, BENCH_CA, BENCH_OUT). What is not as people do it is only for the
comparison: exact delays are kept beside Locust's rounded ones, and a user ends when the server says goodbye.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from array import array
from pathlib import Path
from typing import Any

import websocket
from locust import User, events, task
from locust.exception import StopUser

#: events outside of the window that is measured bear an instant of 2001
MEASURED_AFTER_NS = 1_500_000_000 * 10**9
_people = json.loads(Path(os.environ["BENCH_TOKENS"]).read_text())
_waiting = iter(_people)
_delays_ns = array("q")
_left: list[str] = []


class PlainUser(User):
    skip_utf8_validation = False  # as it comes

    def on_start(self) -> None:
        self.person = next(_waiting)
        url = self.host.replace("http", "ws", 1) + "/ws"
        self.ws = websocket.create_connection(
            url,
            header=[f"Authorization: Bearer {self.person['token']}"],
            sslopt={"ca_certs": os.environ["BENCH_CA"]} if url.startswith("wss") else None,
            timeout=60,
            skip_utf8_validation=self.skip_utf8_validation,
        )

    @task
    def turn(self) -> None:
        run_id = f"run-{uuid.uuid4()}"
        payload = {"user_request": self.person["ask"], "thread_id": self.person["thread"], "run_id": run_id}
        try:
            self.ws.send(json.dumps({"type": "execute_agent", "payload": payload}))
            while self.hear() != "agent_completed":
                pass
        except websocket.WebSocketException:
            self.leave()

    def hear(self) -> str:
        message = self.ws.recv()
        now_ns = time.time_ns()
        if not message:
            raise websocket.WebSocketConnectionClosedException("the server said goodbye")
        event = json.loads(message)
        sent_ns = int(event.get("timestamp", 0) * 1e9)
        if measured := sent_ns > MEASURED_AFTER_NS:
            _delays_ns.append(now_ns - sent_ns)
        self.environment.events.request.fire(
            request_type="WS",
            name=event["type"],
            response_time=(now_ns - sent_ns) / 1e6 if measured else 0,
            response_length=len(message),
            exception=None,
            context={},
        )
        return str(event["type"])

    def leave(self) -> None:
        _left.append(self.person["name"])
        self.ws.close()
        if len(_left) == len(_people):
            self.environment.runner.quit()
        raise StopUser


@events.quit.add_listener
def _write(**_: Any) -> None:
    Path(os.environ["BENCH_OUT"]).write_bytes(_delays_ns.tobytes())
