"""A dialect: everything about a backend's protocol that the rest of Crosstalk must not know.

To test another backend, subclass `Dialect` in one file and name it: `--dialect path/file.py:Class`. A dialect is
pure: it turns frames into events and requests into frames; sockets, time and verdicts are elsewhere. The class
attributes answer the questions in which agent backends differ; each has the most common answer as its default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from crosstalk.wire.event import Event, Kind
from crosstalk.wire.lifecycle import FIVE_EVENTS, Lifecycle


@dataclass(frozen=True, slots=True)
class Turn:
    """What the harness wants said: one prompt in one thread. Ids are empty where the server chooses them."""

    text: str
    user_id: str
    thread_id: str
    run_id: str
    message_id: str
    context: Mapping[str, str] = field(default_factory=dict)  # private to the user, not part of the prompt
    profile: Mapping[str, str] = field(default_factory=dict)
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """An HTTP request: what must be made before a socket can be opened, or removed afterwards."""

    method: str
    path: str
    json: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a thread or a run lives: what the answer to `create` says. Empty where it does not."""

    thread_id: str = ""
    run_id: str = ""
    socket_path: str = ""


@dataclass(frozen=True, slots=True)
class Belongings:
    """What a person has on the target that nobody else may reach. Empty where it is not known.

    `cursor`: how far the connection had come, as `resume` wants it: how many events it had received, or an event's id.
    """

    user_id: str = ""
    thread_id: str = ""
    run_id: str = ""
    message_id: str = ""
    connection_id: str = ""
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to reach for something that a correct target refuses to whoever does not own it.

    Either an HTTP request (`call`) or a frame on one's own socket (`frame`). The words are those of reports:
    "delete thread (http, path)".
    """

    object: str  # thread, run, message, connection, user, function
    verb: str  # read, list, open, continue, rename, cancel, delete, subscribe, call
    place: str  # where the id stands: path, query, body, header, frame, payload
    call: Call | None = None
    frame: str | None = None

    @property
    def surface(self) -> str:
        return "http" if self.call is not None else "socket"

    def __str__(self) -> str:
        return f"{self.verb} {self.object} ({self.surface}, {self.place})"


class Dialect:
    """The interface. Override what differs; `decode` and `prompt` always do."""

    name: ClassVar[str] = ""

    # --- the socket -------------------------------------------------------------------------------------------------
    socket_path: ClassVar[str] = "/ws"
    socket_per: ClassVar[Literal["user", "thread", "run"]] = "user"
    #: what makes a connection ready: a welcome frame (or the reply to `opening`), or the upgrade itself
    ready_by: ClassVar[Literal["welcome", "upgrade"]] = "welcome"
    #: how a token is written in the subprotocol header, and what else is offered there
    subprotocol_prefix: ClassVar[str] = "jwt."
    subprotocols: ClassVar[tuple[str, ...]] = ()

    # --- ids --------------------------------------------------------------------------------------------------------
    #: who chooses the ids of threads and runs; the server's are learned from `created` or from a run's first frame
    ids_from: ClassVar[Literal["client", "server"]] = "client"
    #: False: frames carry no run id at all, and a socket has one run at a time
    frames_name_runs: ClassVar[bool] = True
    #: how much of the user's id the welcome shows: all of it, a prefix, or nothing
    welcome_names_user: ClassVar[Literal["full", "prefix", "no"]] = "no"

    # --- what is right ----------------------------------------------------------------------------------------------
    lifecycle: ClassVar[Lifecycle] = FIVE_EVENTS
    #: True: texts are encoded in the frames (base64, say), so what `decode` gives as text is looked at too
    encodes_text: ClassVar[bool] = False
    #: answers GET with 200 when the target is well; "": there is none
    health_path: ClassVar[str] = "/health"
    #: claims of a token, of aud, iss, env and token_type, that every target of this protocol checks
    token_checks: ClassVar[tuple[str, ...]] = ()
    #: several sockets of one user: True: each event goes to all of them; False: only to the one whose request it
    #: answers; None: the target promises neither, and nothing is checked
    fan_out: ClassVar[bool | None] = None

    def decode(self, frame: bytes) -> Iterable[Event]:
        """A text or binary message as events. Never raises: what cannot be read is an event of kind MALFORMED."""
        raise NotImplementedError

    def prompt(self, turn: Turn) -> str | None:
        """The frame that starts a run; None where the call of `create` has said it all."""
        raise NotImplementedError

    def opening(self, token: str) -> Iterable[str]:
        """Frames to send right after the upgrade; with `--auth message`, the token travels here."""
        return ()

    def cancel(self, run_id: str) -> str | None:
        """The frame that cancels a run; None where the protocol has none."""
        return None

    def ping(self, now_s: float) -> str | None:
        """A frame that is answered at once by one of kind PONG; None: RFC 6455 pings are used."""
        return None

    def probe(self, message_id: str) -> str | None:
        """A harmless frame whose answer (kind ACK) names the user in full; None where there is none."""
        return None

    def create(self, turn: Turn) -> Call | None:
        """The HTTP call that makes the thread (`socket_per` "thread") or the run ("run") of a turn; None: no need.

        A thread is made before its first prompt is known: `turn.text` is empty then.
        """
        return None

    def created(self, answer: Mapping[str, Any]) -> Place:
        """What the answer to `create` (a JSON object) says about ids and socket."""
        return Place()

    def closed(self, code: int) -> Iterable[Event]:
        """What the server's closing of the socket stands for, where the close itself ends a run."""
        return ()

    def delete_thread(self, thread_id: str) -> Call | None:
        """The HTTP call that deletes a thread made by a load test; None: nothing is left behind."""
        return None

    # --- what users that probe need; a target without it is not probed there, and the report says "not exercised" -----

    def list_threads(self) -> Call | None:
        """The HTTP call that lists one's own threads."""
        return None

    def listed(self, answer: Mapping[str, Any]) -> Iterable[str]:
        """The ids of threads in the answer to `list_threads`."""
        return ()

    def history(self, thread_id: str) -> Call | None:
        """The HTTP call that gives the messages of a thread."""
        return None

    def messages(self, answer: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """Id and text of each message in the answer to `history`, oldest first."""
        return ()

    def reach(self, of: Belongings) -> Iterable[Attempt]:
        """Every way that the protocol has to reach these belongings: object × verb × surface × place of the id.

        In an order in which what destroys comes last. What is not known of the belongings is left out.
        """
        return ()

    def functions(self) -> Iterable[Attempt]:
        """Administration and debugging: what an ordinary user is refused."""
        return ()

    def resume(self, of: Belongings) -> str | None:
        """The frame that offers an old connection of `of` and its cursor, to be sent what was missed since."""
        return None

    def authenticate_again(self, token: str) -> str | None:
        """The frame that shows a fresh token on a socket that is ready."""
        return None

    def logout(self) -> Call | None:
        """The HTTP call that revokes the token it is made with."""
        return None

    def provoke(self, reference: str) -> Iterable[str]:
        """Frames that a target answers with an error, each with `reference` where an error message might repeat it."""
        return ()


def malformed(reason: str) -> list[Event]:
    """The answer of `decode` to a frame it cannot read."""
    return [Event(Kind.MALFORMED, text=reason)]


def scalar(value: object) -> str:
    """A scalar as text. Objects and lists are neither ids nor words: "" (and writing deep ones out would raise)."""
    return value if isinstance(value, str) else "" if value is None or isinstance(value, dict | list) else str(value)
