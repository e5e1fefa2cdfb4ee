"""Golden path: fifty people do everything that one can do on an agent chat, each in journeys of its own, at once."""

from locust import events

import reports
from crosstalk.harness import connect
from users.archivist import Archivist  # noqa: F401  compares its listings with what it said
from users.conductor import Conductor  # noqa: F401  hand-offs, nested runs, several runs and threads at once
from users.connector import Connector  # noqa: F401  connects in every way, up to the cap and over it
from users.correspondent import Correspondent  # noqa: F401  keeps threads: makes, lists, pages, deletes them
from users.dispatcher import Dispatcher  # noqa: F401  discovers agents, starts, stops, asks for their status
from users.forgetful import Forgetful  # noqa: F401  cut off in mid-stream, beside a stranger
from users.listener import Listener  # noqa: F401  hears all events in every envelope
from users.newcomer import Newcomer  # noqa: F401  a cold start, from the sign-in to the history
from users.pusher import Pusher  # noqa: F401  goes to the limits and beyond: rates, sizes, nonsense
from users.reader import Reader  # noqa: F401  reads slowly, interrupts, keeps what had come
from users.regular import Regular  # noqa: F401  holds conversations: those who must not notice the others
from users.resident import Resident  # noqa: F401  stays, and renews its token
from users.signer import Signer  # noqa: F401  signs in, refreshes in mid-run, logs out
from users.traveller import Traveller  # noqa: F401  is cut off on the way, comes back, resumes

connect(events, at_end=reports.publish)
