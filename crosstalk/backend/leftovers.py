"""The process-wide places where a real backend keeps what anybody did last, and out of which it leaks.

A module-level "current" something that the next request overwrites, a dictionary with too short a key, a pool of
connections that hands on an answer nobody has read. Used by faults only.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

SEEN_MAX = 64
ANSWERS_MAX = 1_024
UNREAD_CONNECTIONS_MAX = 16


@dataclass(frozen=True, slots=True)
class Seen:
    """What is left of a run in the process-wide place, "" and () for what it had not.

    `references`: what its turn brought along; `context`: that of its private context alone. `name`: of its profile.
    `pieces`: the answer as it is streamed. `request_id`: what its client calls the request.
    """

    user_id: str
    run_id: str
    thread_id: str
    references: tuple[str, ...] = ()
    context: str = ""
    name: str = ""
    request_id: str = ""
    pieces: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        return self.references[0] if self.references else ""

    @property
    def words(self) -> str:
        return " ".join(self.references)

    @property
    def answer(self) -> str:
        return "".join(self.pieces)


def has_words(seen: Seen) -> bool:
    """Only what carries a whole reference is another's beyond doubt."""
    return bool(seen.references)


class Leftovers:
    """Last seen by anyone: the newest runs of all users, and answers by a key that does not say whose they are."""

    def __init__(self) -> None:
        self._seen: deque[Seen] = deque(maxlen=SEEN_MAX)
        self._answers: OrderedDict[tuple[str, str], tuple[str, str]] = OrderedDict()

    def note_run(self, seen: Seen) -> None:
        self._seen.append(seen)

    def note_answer(self, kind: str, key: str, user_id: str, text: str) -> None:
        """`kind` says what `key` is: the words of a prompt, or the id of a run."""
        self._answers[kind, key] = (user_id, text)
        self._answers.move_to_end((kind, key))
        if len(self._answers) > ANSWERS_MAX:
            self._answers.popitem(last=False)

    def answer_of_another(self, kind: str, key: str, user_id: str) -> str | None:
        """The answer that another user got under the same key; one's own would be no leak between users."""
        owner, text = self._answers.get((kind, key), (user_id, ""))
        return None if owner == user_id else text

    def of_another(
        self, user_id: str, active: Container[tuple[str, str]], having: Callable[[Seen], bool] = has_words
    ) -> Seen | None:
        """The newest run of another user, one in progress (`active` has its user and id) before one that has ended."""
        newest = None
        for seen in self.all_of_others(user_id):
            if having(seen):
                if (seen.user_id, seen.run_id) in active:
                    return seen
                newest = newest or seen
        return newest

    def all_of_others(self, user_id: str) -> Iterator[Seen]:
        """Newest first."""
        return (seen for seen in reversed(self._seen) if seen.user_id != user_id)

    def newest_of(self, user_id: str) -> Seen | None:
        """What this user asked last: the slot that each new run of theirs overwrites."""
        return next((seen for seen in reversed(self._seen) if seen.user_id == user_id), None)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answers, and to whom."""

    user_id: str
    text: str


class Connection:
    """A connection to a model. Answers come in the order of the questions, so one that nobody has read comes first."""

    def __init__(self) -> None:
        self._unread: deque[Reply] = deque()

    def ask(self, reply: Reply) -> Reply:
        """Ask for `reply`; the answer is what will be read."""
        self._unread.append(reply)
        return self._unread[0]

    def read(self) -> None:
        self._unread.popleft()

    @property
    def unread(self) -> Reply | None:
        return self._unread[0] if self._unread else None


class Pool:
    """Connections to a model that wait for their next question.

    The mistake: a cancelled run gives its connection back with the answer unread. (One that has read an answer and
    finds another behind it is closed, as it should be: so a leak concerns the answers of cancelled runs alone.)
    """

    def __init__(self) -> None:
        self._idle: deque[Connection] = deque(maxlen=UNREAD_CONNECTIONS_MAX)

    def take(self, user_id: str, trusts: Callable[[], bool]) -> Connection:
        """The connection that was given back last with another user's answer in it, if `trusts`; else a new one."""
        for connection in reversed(self._idle):
            if connection.unread is not None and connection.unread.user_id != user_id:
                if not trusts():
                    break
                self._idle.remove(connection)
                return connection
        return Connection()

    def give_back(self, connection: Connection) -> None:
        self._idle.append(connection)
