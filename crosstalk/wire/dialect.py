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
from crosstalk.wire.promises import Promises


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
    agent: str = ""  # who is to answer; "": whoever does by default


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
class Declared:
    """What a target says of its agents. Empty, and None, where it does not say. Times in seconds."""

    agents: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    receive_timeout_s: float | None = None  # of a socket on which nothing comes in
    agent_timeouts_s: Mapping[str, float] = field(default_factory=dict)
    tool_timeouts_s: Mapping[str, float] = field(default_factory=dict)
    progress_every_s: float | None = None  # how often an agent says that it waits for a slow tool


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


@dataclass(frozen=True, slots=True)
class Label:
    """How an event of a run is packed, and what it says of itself beside its content. "" and None: it does not say.

    `lacks`: what its envelope has a place for, and what does not stand there. `attempt`: from 1.
    """

    envelope: str
    name: str
    run_id: str = ""
    user_id: str = ""
    thread_id: str = ""
    at_s: float | None = None  # when it was said, in unix seconds
    attempt: int = 1
    lacks: tuple[str, ...] = ()


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

    # --- sign_in, newcomer ------------------------------------------------------------------------------------------
    #: ways by which every target of this protocol takes a token at its sockets, of header, subprotocol, query and
    #: message; the one that `--auth` names is tried in any case
    transports: ClassVar[tuple[str, ...]] = ()

    def open_thread(self, thread_id: str, title: str = "") -> Call | None:
        """The HTTP call that makes a thread of this id, where `create` makes none; None: a prompt makes it.

        :param title: what the thread is to be called, where threads have titles.
        """
        return None

    # --- connection and limits: what journeys of these families ask for; what a target has not is not offered ---------

    #: subprotocols that the target is known to speak; none: it is not asked
    known_subprotocols: ClassVar[tuple[str, ...]] = ()

    def limits(self) -> Call | None:
        """The HTTP call whose answer says how many sockets, how long a silence and how large a message are borne."""
        return None

    def promised(self, said: Mapping[str, Any]) -> Promises:
        """What the answer to `limits`, or the frame of a welcome (a JSON object), says of that."""
        return Promises()

    def keepalive(self, *, heartbeat_s: float, ping_s: float, idle_s: float) -> str:
        """The query of an upgrade that asks for shorter silences than usual; "": they are the target's choice alone."""
        return ""

    def sized(self, size_bytes: int) -> str | None:
        """A harmless frame of exactly so many bytes, which is answered by one of kind ACK; None where there is none."""
        return None

    def nonsense(self) -> Iterable[tuple[str, str | bytes]]:
        """Frames (bytes: binary ones) that make no sense, each with what it is: answered by one of kind REFUSED."""
        return ()

    def unknown(self, message_id: str) -> str | None:
        """A frame of a type that nobody knows: answered by one of kind ACK or REFUSED."""
        return None

    def rate_limited(self) -> Call | None:
        """A harmless HTTP call whose rate is limited, as `promised` says."""
        return None

    def rate_limited_frame(self, message_id: str) -> str | None:
        """A harmless frame whose rate is limited in the same way; answered by one of kind ACK or REFUSED."""
        return None

    def retry_after_s(self, frame: bytes) -> float | None:
        """For how long a frame refuses because of the rate: 0 where it does not say, None where it is not for that."""
        return None

    def hang_up(self, code: int) -> str | None:
        """The frame that asks for this socket to be closed with a code; 1006: without a close frame, 0: by a reset."""
        return None

    # --- messages and threads ---------------------------------------------------------------------------------------

    def titles(self, answer: Mapping[str, Any]) -> Mapping[str, str]:
        """Id → title of each thread in the answer to `list_threads`."""
        return {}

    def page_of_threads(self, *, limit: int, offset: int) -> Call | None:
        """The call of `list_threads` for so many of them, from that one on."""
        return None

    def page_of_history(self, thread_id: str, *, limit: int, offset: int) -> Call | None:
        """The call of `history` for so many messages, from that one on, the oldest being the first."""
        return None

    def speakers(self, answer: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """Who said it ("user" or "agent") and the text of each message in the answer to `history`, oldest first."""
        return ()

    def add_message(self, thread_id: str, text: str) -> Call | None:
        """The HTTP call that adds a message to a thread and starts no run."""
        return None

    def thread_frame(self, verb: Literal["list", "history", "switch", "delete"], thread_id: str = "") -> str | None:
        """The frame that does it on the socket. After "switch" a prompt without a thread goes to that thread."""
        return None

    def told(self, frame: bytes) -> Mapping[str, Any] | None:
        """What a frame that answers `thread_frame` says, for `listed`, `messages` and `speakers`; None: another one."""
        return None

    # --- recovery ---------------------------------------------------------------------------------------------------

    def replayed(self, frame: bytes) -> int:
        """How many events of runs follow a frame that answers `resume`, for having been missed; -1: another frame."""
        return -1

    def dependent(self, *, away: bool) -> Call | None:
        """The HTTP call whose answer needs something behind the target, which a circuit breaker guards.

        :param away: as if that did not answer. Where the target cannot be asked for it, the call without it.
        """
        return None

    def parts(self, answer: Mapping[str, Any]) -> Mapping[str, str]:
        """Name → state of each part of the target in its health answer; "healthy" for one that is well."""
        parts = answer.get("parts") or answer.get("components")
        return {name: scalar(state) for name, state in parts.items()} if isinstance(parts, dict) else {}

    def occasions(self) -> Call | None:
        """The HTTP call that tells what the target is going through just now: what it was told to, or what is known."""
        return None

    def going_on(self, answer: Mapping[str, Any]) -> Iterable[str]:
        """Their names: cache_down, …"""
        return ()

    # --- five_events ------------------------------------------------------------------------------------------------

    #: what a frame that holds several events may hold: so many of them, said within so many ms; 0: nobody has said
    batch_events_max: ClassVar[int] = 0
    batch_span_ms_max: ClassVar[float] = 0.0

    def envelopes(self) -> Mapping[str, str]:
        """Envelopes that a socket can ask for → the path of such a socket; empty where there is one only."""
        return {}

    def envelope_said(self, welcome: bytes) -> str:
        """The envelope that a welcome says its socket gets; "" where it says nothing of it."""
        return ""

    def entries(self, frame: bytes) -> Iterable[bytes]:
        """A frame of several events in parts, one for each event that `decode` makes of it; none where it has one."""
        return ()

    def labels(self, frame: bytes) -> Iterable[Label]:
        """How each event of a run in this frame is packed and labelled; none where that is not looked at."""
        return ()

    # --- streaming --------------------------------------------------------------------------------------------------

    #: the wire's name of the event that holds, in its text, what had come of an answer that was cut short; "": none
    partial_event: ClassVar[str] = ""

    def slow_line(self) -> str:
        """The path of a socket for which the target holds back little; "": the usual one."""
        return ""

    # --- agent_run: what agents there are, and runs over HTTP; without it nothing of this is asked ------------

    def discover(self) -> Call | None:
        """The HTTP call that lists agents and tools."""
        return None

    def discovered(self, answer: Mapping[str, Any]) -> Declared:
        """What the answer to `discover` lists."""
        return Declared()

    def configuration(self) -> Call | None:
        """The HTTP call that tells how agents are configured."""
        return None

    def configured(self, answer: Mapping[str, Any]) -> Declared:
        """What the answer to `configuration` declares."""
        return Declared()

    def agents_health(self) -> Call | None:
        """The HTTP call that tells how the agents are."""
        return None

    def healthy(self, answer: Mapping[str, Any]) -> Iterable[str]:
        """The agents that are well, in the answer to `agents_health`."""
        return ()

    def start_over_http(self, turn: Turn) -> Call | None:
        """The HTTP call that starts a run whose events come on the user's sockets. `turn.run_id` is empty: the server
        chooses it."""
        return None

    def started(self, answer: Mapping[str, Any]) -> Place:
        """What the answer to `start_over_http` says about the run's id."""
        return Place()

    def end_over_http(self, run_id: str, verb: Literal["stop", "cancel"]) -> Call | None:
        """The HTTP call that ends a run; None where the protocol has none by that name."""
        return None

    def run_status(self, run_id: str) -> Call | None:
        """The HTTP call that tells how a run is."""
        return None

    def ask_status(self, run_id: str) -> str | None:
        """The frame that asks how a run is."""
        return None

    def status_in(self, answer: Mapping[str, Any]) -> str:
        """The status in an answer to `run_status`, or in the frame that answers `ask_status`; "" where it has none.
        One of running, completed, failed, cancelled."""
        return scalar(answer.get("status"))

    # --- orchestration -----------------------------------------------------------------------------------------------

    #: an agent that works inside another one's run has a `started` and a `completed` of its own, under its own name
    nests: ClassVar[bool] = False

    # --- soak ---------------------------------------------------------------------------------------------------------

    def memory_told(self, answer: Mapping[str, Any]) -> int | None:
        """Bytes of memory that the answer at `health_path` says the target uses; None where it says nothing of it."""
        return None


def malformed(reason: str) -> list[Event]:
    """The answer of `decode` to a frame it cannot read."""
    return [Event(Kind.MALFORMED, text=reason)]


def scalar(value: object) -> str:
    """A scalar as text. Objects and lists are neither ids nor words: "" (and writing deep ones out would raise)."""
    return value if isinstance(value, str) else "" if value is None or isinstance(value, dict | list) else str(value)
