"""Messages, runs, connections, profiles and administration: what belongs to a user, and to nobody else."""

import uuid

import pytest

from tests.backend.client import PASSWORD, backend, mint, streamed

A, B = "obj00001", "obj00002"


def admin() -> str:
    """A token of an administrator: made when it is used, for tokens live five minutes."""
    return mint("root0001", permissions=["admin"])


@pytest.fixture
def owned(clean):
    """What A has: a thread with a run that has ended, a profile, and an open connection."""
    with clean.user(A) as client:
        thread_id = f"thread-{uuid.uuid4().hex}"
        run_id = client.start("hello there", thread_id=thread_id, profile={"name": "Ada", "reference": "R" * 20})
        answer = client.read_to_end()[-1]["data"]["result"]
        messages = clean.http("GET", f"/api/threads/{thread_id}/messages", user=A)[1]["messages"]
        yield {
            "thread": thread_id,
            "run": run_id,
            "answer": answer,
            "messages": messages,
            "connection": client.welcome["data"]["connection_id"],
            "client": client,
        }


def test_an_owner_reads_everything(clean, owned):
    message = owned["messages"][1]
    assert clean.http("GET", f"/api/messages/{message['id']}", user=A)[1] == message
    listed = clean.http("GET", f"/api/messages?thread_id={owned['thread']}", user=A)[1]
    assert listed["messages"] == owned["messages"]
    run = {"id": owned["run"], "thread_id": owned["thread"], "status": "completed", "answer": owned["answer"]}
    assert clean.http("GET", f"/api/runs/{owned['run']}", user=A)[1] == run
    assert clean.http("GET", f"/api/agents/status?run_id={owned['run']}", user=A)[1] == {"run_id": run["id"], **run}
    profile = clean.http("GET", f"/api/users/{A}", user=A)[1]
    assert profile["profile"] == {"name": "Ada", "reference": "R" * 20}
    assert owned["connection"] in [one["id"] for one in clean.http("GET", "/api/connections", user=A)[1]["connections"]]
    shown = clean.http("GET", f"/api/connections/{owned['connection']}", user=A)[1]
    assert (shown["user_id"], shown["open"]) == (A, True)
    client = owned["client"]
    client.send("get_run", payload={"run_id": owned["run"]})
    assert client.read()["data"]["run"] == run
    client.send("list_threads", user_id=A)
    assert owned["thread"] in [thread["id"] for thread in client.read()["data"]["threads"]]


@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        ("GET", "/api/messages/{message}", None, 404),
        ("GET", "/api/messages?thread_id={thread}", None, 403),
        ("GET", "/api/runs/{run}", None, 404),
        ("GET", "/api/agents/status?run_id={run}", None, 404),
        ("POST", "/api/agents/stop", {"run_id": "{run}"}, 404),
        ("POST", "/api/agents/cancel", {"run_id": "{run}"}, 404),
        ("POST", "/api/agents/execute", {"message": "hi", "thread_id": "{thread}"}, 403),
        ("GET", "/api/connections/{connection}", None, 403),
        ("DELETE", "/api/connections/{connection}", None, 403),
        ("GET", f"/api/users/{A}", None, 403),
        ("GET", f"/api/threads?user_id={A}", None, 403),
    ],
)
def test_a_stranger_is_refused_and_told_nothing(clean, owned, verb, path, body, status):
    ids = {**owned, "message": owned["messages"][0]["id"]}
    filled = {key: value.format(**ids) for key, value in (body or {}).items()} or None
    before = clean.http("GET", f"/api/messages?thread_id={owned['thread']}", user=A)[1]
    answered, said, _ = clean.http(verb, path.format(**ids), user=B, body=filled)
    assert answered == status
    assert "Ada" not in str(said)
    assert owned["answer"] not in str(said)
    assert clean.http("GET", f"/api/messages?thread_id={owned['thread']}", user=A)[1] == before
    assert owned["client"].drain() == []
    assert clean.http(verb, path.format(**ids), body=filled)[0] == 401


def test_a_run_over_http_is_heard_on_the_socket_and_can_be_stopped(clean):
    with clean.user(A) as client:
        body = {"type": "supervisor", "message": "long answer"}
        status, run, _ = clean.http("POST", "/api/agents/execute", user=A, body=body)
        assert (status, run["status"]) == (202, "running")
        assert client.read()["run_id"] == run["run_id"]
        assert clean.http("GET", f"/api/runs/{run['run_id']}", user=A)[1]["status"] == "running"
        stopped = clean.http("POST", "/api/agents/stop", user=A, body={"run_id": run["run_id"]})
        assert stopped[:2] == (200, {"run_id": run["run_id"], "status": "cancelled"})
        assert client.read_to_end()[-1]["data"]["error_code"] == "CANCELLED"
        assert clean.http("POST", "/api/agents/cancel", user=A, body={"run_id": run["run_id"]})[0] == 409
        assert clean.http("GET", f"/api/runs/{run['run_id']}", user=A)[1]["status"] == "cancelled"


def test_two_users_may_choose_the_same_run_id(clean):
    with clean.user(A) as one, clean.user(B) as two:
        for client, words in ((one, "A" * 24), (two, "B" * 24)):
            client.start(f"long answer. repeat this reference: {words}", run_id="run-of-both")
        for client, words in ((one, "A" * 24), (two, "B" * 24)):
            frames = client.read_to_end()
            assert {frame["user_id"] for frame in frames} == {client.user_id}
            assert words in frames[-1]["data"]["result"]
        assert clean.http("GET", "/api/runs/run-of-both", user=B)[1]["answer"] == frames[-1]["data"]["result"]
        one.start("again", run_id="run-of-both")
        assert one.read()["error_code"] == "RUN_ID_USED"


def test_a_thread_is_deleted_over_the_socket(clean, owned):
    client = owned["client"]
    client.send("delete_thread", payload={"thread_id": owned["thread"]})
    assert (client.read()["type"]) == "thread_deleted"
    assert clean.http("GET", f"/api/threads/{owned['thread']}", user=A)[0] == 404


def test_a_subscription_to_ones_own_thread_repeats_nothing(clean, owned):
    client = owned["client"]
    client.send("subscribe_thread", payload={"thread_id": owned["thread"]})
    assert client.read()["type"] == "subscribed"
    frames = client.run("hello", thread_id=owned["thread"])
    assert len({(frame["type"], str(frame["data"])) for frame in frames}) == len(frames)
    assert client.drain() == []


def test_a_connection_is_closed_by_its_owner(clean):
    with clean.user(A) as client:
        connection_id = client.welcome["data"]["connection_id"]
        assert clean.http("DELETE", f"/api/connections/{connection_id}", user=A)[0] == 204
        with pytest.raises(Exception, match="1000"):
            client.read()


def test_a_token_is_worth_nothing_after_its_logout(clean):
    token, other = mint(A), mint(A)
    assert clean.http("GET", "/api/threads", token=token)[0] == 200
    assert clean.http("POST", "/auth/logout", token=token)[0] == 204
    assert clean.http("GET", "/api/threads", token=token)[0] == 401
    assert clean.http("GET", "/auth/verify", token=token)[1] == {"valid": False}
    with clean.open(additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        assert "AUTH_FAILED" in socket.recv(timeout=5)
    assert clean.http("GET", "/api/threads", token=other)[0] == 200
    assert clean.http("POST", "/auth/logout")[0] == 401


def test_refreshing_gives_tokens_of_the_same_user(clean):
    pairs = {}
    for user in (A, B):
        login = {"email": f"{user}@b.c", "password": PASSWORD}
        pairs[user] = clean.http("POST", "/auth/login", body=login)[1]["refresh_token"]
    for user in (A, B, A):
        answer = clean.http("POST", "/auth/refresh", body={"refresh_token": pairs[user]})[1]
        pairs[user] = answer["refresh_token"]
        assert answer["user"]["id"] == user


ADMINISTRATION = [
    ("GET", "/api/admin/users", None),
    ("GET", "/api/admin/threads", None),
    ("GET", "/api/debug/state", None),
    ("POST", "/api/admin/broadcast", {"text": "maintenance at noon"}),
]


@pytest.mark.parametrize(("verb", "path", "body"), ADMINISTRATION)
def test_administration_is_for_administrators(clean, owned, verb, path, body):
    for permissions in ([], ["chat"], "admin", None):
        status, said, _ = clean.http(verb, path, token=mint(B, permissions=permissions), body=body)
        assert status == 403
        assert A not in str(said)
    assert clean.http(verb, path, body=body)[0] == 401
    assert owned["client"].drain() == []
    status, said, _ = clean.http(verb, path, token=admin(), body=body)
    assert status == 200
    if verb == "GET":
        assert A in str(said)
    else:
        assert owned["client"].read() == {"type": "broadcast", "data": {"text": "maintenance at noon"}}


def test_the_published_key_verifies_no_token(clean):
    (key,) = clean.http("GET", "/.well-known/jwks.json")[1]["keys"]
    assert (key["kty"], key["alg"], key["use"]) == ("RSA", "RS256", "sig")


def missed(client, connection_id, cursor):
    """What a resume brings: (its first answer, the frames behind it)."""
    client.send("resume", payload={"connection_id": connection_id, "last_event": cursor})
    frames = client.drain()
    return frames[0], frames[1:]


def test_what_an_ended_connection_missed_is_sent_again(clean):
    user = "res00001"
    with clean.user(user) as old:
        connection_id = old.welcome["data"]["connection_id"]
        heard = old.run("hello")
        run_id = old.start("long answer")
        first = [old.read() for _ in range(4)]
    with clean.user(user) as meanwhile:
        while clean.http("GET", f"/api/runs/{run_id}", user=user)[1]["status"] == "running":
            meanwhile.drain()
    with clean.user(user) as new:
        told, frames = missed(new, connection_id, len(heard) + len(first))
        assert (told["type"], told["data"]["events"]) == ("resumed", len(frames))
        assert {frame["run_id"] for frame in frames} == {run_id}
        result = frames[-1]["data"]["result"]
        assert streamed([*first, *frames]) == result
        # what was sent again counts as sent: a second time there is nothing
        assert missed(new, connection_id, len(heard))[1] == first
        assert missed(new, connection_id, len(heard))[1] == []


def test_an_open_connection_of_the_same_user_is_taken_over(clean):
    with clean.user("res00002") as old, clean.user("res00002") as new:
        old.run("hello")
        new.drain()
        told, frames = missed(new, old.welcome["data"]["connection_id"], 0)
        assert (told["type"], frames) == ("resumed", [])  # both sockets were sent it live
        with pytest.raises(Exception, match="1001"):
            old.read()


def test_what_is_no_longer_kept_is_said():
    with backend("--time-scale", "0") as process, process.user("res00003") as client:
        for _ in range(4):
            client.run("long answer")
        told, _ = missed(client, client.welcome["data"]["connection_id"], 0)
        assert told["error_code"] == "CURSOR_TOO_OLD"
