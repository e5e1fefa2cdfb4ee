"""Residents who renew every token by a new socket: many connections in little time."""

from locust import events

import reports
from crosstalk.harness import connect
from users.resident import Resident


class Restless(Resident):
    new_socket_every = 1


del Resident  # Locust plays every user class that it finds here
connect(events, at_end=reports.publish)
