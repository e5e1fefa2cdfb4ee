"""The smoke's users under a shape that ends by itself."""

from locust import LoadTestShape, events

import reports
from crosstalk.harness import connect
from users.regular import Regular  # noqa: F401

connect(events, at_end=reports.publish)


class Short(LoadTestShape):  # type: ignore[misc]
    def tick(self) -> tuple[int, float] | None:
        return (8, 8) if self.get_run_time() < 12 else None
