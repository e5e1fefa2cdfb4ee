"""Faults of threads, of coming back and of asking again, each beside an account that has none."""

import json
import socket
import struct

import pytest
from websockets.exceptions import ConnectionClosed

from tests.backend.client import backend, mint

CLEAN = "thf00000"
FAULTS = ("paging_repeats", "paging_skips", "history_reversed", "message_lost_after_reconnect", "deleted_thread_listed",
          "deleted_thread_readable", "switch_ignored", "title_lost", "resume_duplicates", "resume_skips",
          "resume_refused_own", "retry_answers_twice", "part_down_says_healthy", "part_down_is_outage")  # fmt: skip
USER = {fault: f"thf{number:05}" for number, fault in enumerate(FAULTS, 1)}


@pytest.fixture(scope="module")
def wrong():
    """All of them at once, each at an account of its own, while the cache is down."""
    asked = [part for fault in FAULTS for part in ("--fault", f"{fault}:1:{int(USER[fault][-5:])}")]
    with backend("--time-scale", "0.05", "--occasion", "cache_down:after=0+for=600", *asked) as process:
        yield process


def thread_of(process, user, name, *contents):
    thread_id = f"thread-{name}-{user}"
    made = process.http("POST", "/api/threads", user=user, body={"id": thread_id, "title": "costs"})[1]
    for content in contents:
        process.http("POST", f"/api/threads/{thread_id}/messages", user=user, body={"content": content})
    return made


def history(process, user, thread, query=""):
    status, page, _ = process.http("GET", f"/api/threads/{thread['id']}/messages{query}", user=user)
    return [message["content"] for message in page["messages"]] if status == 200 else status


def listed(process, user):
    return [thread["id"] for thread in process.http("GET", "/api/threads", user=user)[1]["threads"]]


@pytest.mark.parametrize(
    ("user", "second"),
    [(CLEAN, ["c", "d"]), (USER["paging_repeats"], ["b", "c"]), (USER["paging_skips"], ["d"])],
)
def test_paging_repeats_and_paging_skips(wrong, user, second):
    thread = thread_of(wrong, user, "paged", "a", "b", "c", "d")
    assert history(wrong, user, thread, "?limit=2") == ["a", "b"]
    assert history(wrong, user, thread, "?limit=2&offset=2") == second


@pytest.mark.parametrize(("user", "expected"), [(CLEAN, ["a", "b"]), (USER["history_reversed"], ["b", "a"])])
def test_history_reversed(wrong, user, expected):
    assert history(wrong, user, thread_of(wrong, user, "ordered", "a", "b")) == expected


@pytest.mark.parametrize(("user", "expected"), [(CLEAN, ["a", "b"]), (USER["message_lost_after_reconnect"], ["a"])])
def test_message_lost_after_reconnect(wrong, user, expected):
    thread = thread_of(wrong, user, "kept", "a", "b")
    with wrong.user(user):
        assert history(wrong, user, thread) == ["a", "b"]
    with wrong.user(user) as client:
        client.drain()  # the end of the first socket has been noticed by then
        assert history(wrong, user, thread) == expected


@pytest.mark.parametrize(
    ("user", "in_list", "answer"),
    [
        (CLEAN, False, 404),
        (USER["deleted_thread_listed"], True, 404),
        (USER["deleted_thread_readable"], False, ["a"]),
    ],
)
def test_deleted_thread_listed_and_deleted_thread_readable(wrong, user, in_list, answer):
    thread = thread_of(wrong, user, "gone", "a")
    assert wrong.http("DELETE", f"/api/threads/{thread['id']}", user=user)[0] == 204
    assert (thread["id"] in listed(wrong, user)) == in_list
    assert history(wrong, user, thread) == answer
    wrong.http("DELETE", f"/api/threads/{thread['id']}", user=user)
    assert wrong.http("GET", "/health/live")[0] == 200


@pytest.mark.parametrize(("user", "went_to"), [(CLEAN, "two"), (USER["switch_ignored"], "one")])
def test_switch_ignored(wrong, user, went_to):
    with wrong.user(user) as client:
        for name in ("one", "two"):
            client.send("switch_thread", payload={"thread_id": f"thread-{name}-{user}"})
            assert client.read()["type"] == "thread_updated"
        frames = client.run("hello")
        assert {frame["thread_id"] for frame in frames} == {f"thread-{went_to}-{user}"}


def test_a_prompt_goes_nowhere_that_was_deleted(wrong):
    with wrong.user(CLEAN) as client:
        client.send("switch_thread", payload={"thread_id": "thread-soon-gone"})
        client.send("delete_thread", payload={"thread_id": "thread-soon-gone"})
        assert [client.read()["type"] for _ in range(2)] == ["thread_updated", "thread_deleted"]
        assert client.run("hello")[-1]["thread_id"] != "thread-soon-gone"


@pytest.mark.parametrize(("user", "title"), [(CLEAN, "costs"), (USER["title_lost"], "")])
def test_title_lost(wrong, user, title):
    assert thread_of(wrong, user, "titled")["title"] == title


def replayed(process, user):
    """What a new connection is sent again of a run of which the old one got everything."""
    with process.user(user) as client:
        old = client.welcome["data"]["connection_id"]
        sent = [json.dumps(frame, sort_keys=True) for frame in client.run("hello")]
    with process.user(user) as client:
        client.send("resume", payload={"connection_id": old, "last_event": 0})
        answer, *again = client.drain()
        return sent, answer, [json.dumps(frame, sort_keys=True) for frame in again]


def test_resuming_sends_everything_once(wrong):
    sent, answer, again = replayed(wrong, CLEAN)
    assert answer["data"]["events"] == len(sent)
    assert again == sent


def test_resume_duplicates(wrong):
    sent, _, again = replayed(wrong, USER["resume_duplicates"])
    assert len(again) == len(sent) + 1
    assert list(dict.fromkeys(again)) == sent


def test_resume_skips(wrong):
    sent, _, again = replayed(wrong, USER["resume_skips"])
    assert len(again) == len(sent) - 1
    assert [frame for frame in sent if frame in again] == again


def test_resume_refused_own(wrong):
    _, answer, again = replayed(wrong, USER["resume_refused_own"])
    assert (answer["error_code"], again) == ("NOT_FOUND", [])


@pytest.mark.parametrize(("user", "times"), [(CLEAN, 1), (USER["retry_answers_twice"], 2)])
def test_retry_answers_twice(wrong, user, times):
    words = "this fails at first"
    thread = f"thread-again-{user}"
    with wrong.user(user) as client:
        assert client.run(words, thread_id=thread)[-1]["type"] == "agent_error"
        assert client.run(words, thread_id=thread)[-1]["type"] == "agent_completed"
    roles = [one["role"] for one in wrong.http("GET", f"/api/threads/{thread}/messages", user=user)[1]["messages"]]
    assert roles == ["user", "user", *["assistant"] * times]


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (CLEAN, (200, "degraded", "degraded")),
        (USER["part_down_says_healthy"], (200, "healthy", "healthy")),
        (USER["part_down_is_outage"], (503, "unhealthy", "unhealthy")),
    ],
)
def test_part_down_says_healthy_and_part_down_is_outage(wrong, user, expected):
    status, health, _ = wrong.http("GET", "/health", user=user)
    assert (status, health["status"], health["parts"]["cache"]) == expected


def test_lost_user_kept_waiting():
    """Whoever resets the transport; not who says goodbye, nor the connection after that."""
    with backend("--fault", "lost_user_kept_waiting:1:1") as process:
        for user, welcomed in (("thf00001", False), (CLEAN, True)):
            with process.user(user) as client:
                client.socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.socket.socket.close()
            while process.http("GET", "/api/connections", user=user)[1]["connections"]:
                pass  # until the backend has noticed
            with process.open(additional_headers={"Authorization": f"Bearer {mint(user)}"}) as again:
                if welcomed:
                    assert "connection_established" in again.recv(timeout=5)
                else:
                    with pytest.raises(TimeoutError):
                        again.recv(timeout=0.3)
            for _ in range(2):
                with process.user(user) as one:
                    assert one.welcome["type"] == "connection_established"


def test_restart_loses_threads():
    with backend("--occasion", "restart:after=3+for=0", "--fault", "restart_loses_threads:1:1") as process:
        users = ("thf00001", CLEAN)
        with process.user(CLEAN) as client:
            for user in users:
                thread_of(process, user, "kept", "a")
            with pytest.raises(ConnectionClosed):
                client.read()
        assert [len(_listed_again(process, user)) for user in users] == [0, 1]


def _listed_again(process, user):
    for _ in range(10_000):
        try:
            return listed(process, user)
        except OSError:
            continue  # nobody listens just now
    raise AssertionError("nobody listens any more")


def test_reconnect_storm_refused():
    with backend("--occasion", "try_later:after=0+for=600", "--fault", "reconnect_storm_refused:1:1") as process:
        waiting, put_off = (
            process.open(additional_headers={"Authorization": f"Bearer {mint(user)}"}) for user in ("thf00001", CLEAN)
        )
        with waiting, put_off:
            with pytest.raises(ConnectionClosed) as caught:
                put_off.recv(timeout=5)
            assert caught.value.rcvd.code == 1013
            with pytest.raises(TimeoutError):
                waiting.recv(timeout=0.3)
