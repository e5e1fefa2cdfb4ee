"""A load test that cannot fail: no token, no socket, no prompt, and every answer under 500 counts as a success.

It reports 100 % on any server that is up: also on one that shows each user what another has written.
"""

from typing import Any

from locust import HttpUser, between, events, task


class Visitor(HttpUser):
    wait_time = between(0.1, 0.5)

    @task(3)
    def health(self) -> None:
        self.look_at("/health")

    @task(2)
    def threads(self) -> None:
        self.look_at("/api/threads")  # 401: nobody has signed in

    @task
    def socket(self) -> None:
        self.look_at("/ws")  # 400: an ordinary GET opens no WebSocket

    def look_at(self, path: str) -> None:
        with self.client.get(path, catch_response=True) as response:
            if response.status_code < 500:
                response.success()


@events.quit.add_listener
def boast(exit_code: int, **_: Any) -> None:
    print("100 % success" if exit_code == 0 else "not all requests succeeded")
