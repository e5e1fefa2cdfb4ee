"""Threads and messages over HTTP: what belongs to a user, and to nobody else."""

import pytest

A, B = "own00001", "own00002"


def made(clean, user, **body):
    status, thread, _ = clean.http("POST", "/api/threads", user=user, body=body)
    assert status == 201
    return thread["id"]


def test_a_thread_lives_and_dies(clean):
    thread_id = made(clean, A, title="costs", metadata={"k": 1})
    assert clean.http("GET", f"/api/threads/{thread_id}", user=A)[1]["title"] == "costs"
    changed = clean.http("PUT", f"/api/threads/{thread_id}", user=A, body={"title": "usage", "metadata": {"m": 2}})[1]
    assert (changed["title"], changed["metadata"]) == ("usage", {"k": 1, "m": 2})
    assert thread_id in [thread["id"] for thread in clean.http("GET", "/api/threads", user=A)[1]["threads"]]
    assert clean.http("DELETE", f"/api/threads/{thread_id}", user=A)[0] == 204
    assert clean.http("GET", f"/api/threads/{thread_id}", user=A)[0] == 404


def test_messages_come_in_pages(clean):
    thread_id = made(clean, A)
    for number in range(5):
        assert (
            clean.http("POST", f"/api/threads/{thread_id}/messages", user=A, body={"content": f"m{number}"})[0] == 201
        )
    page = clean.http("GET", f"/api/threads/{thread_id}/messages?limit=2&offset=3", user=A)[1]
    assert [message["content"] for message in page["messages"]] == ["m3", "m4"]
    assert page["total"] == 5


OBJECT_REQUESTS = [
    ("GET", "", None),
    ("PUT", "", {"title": "mine now"}),
    ("DELETE", "", None),
    ("GET", "/messages", None),
    ("POST", "/messages", {"content": "hello"}),
]


@pytest.mark.parametrize(("verb", "path", "body"), OBJECT_REQUESTS)
def test_another_users_thread_is_out_of_reach_and_stays_as_it_is(clean, verb, path, body):
    thread_id = made(clean, A, title="private matter")
    clean.http("POST", f"/api/threads/{thread_id}/messages", user=A, body={"content": "a secret"})
    before = clean.http("GET", f"/api/threads/{thread_id}", user=A)[1]
    status, answer, _ = clean.http(verb, f"/api/threads/{thread_id}{path}", user=B, body=body)
    assert status == 403
    assert "private" not in str(answer)
    assert "secret" not in str(answer)
    assert A not in str(answer)
    assert clean.http("GET", f"/api/threads/{thread_id}", user=A)[1] == before


@pytest.mark.parametrize(("verb", "path", "body"), OBJECT_REQUESTS)
def test_no_thread_without_a_token(clean, verb, path, body):
    status, _, headers = clean.http(verb, f"/api/threads/{made(clean, A)}{path}", body=body)
    assert status == 401
    assert headers["WWW-Authenticate"] == "Bearer"


def test_a_listing_shows_own_threads_only(clean):
    mine, theirs = made(clean, "list0001"), made(clean, "list0002")
    listed = clean.http("GET", "/api/threads", user="list0001")[1]
    assert [thread["id"] for thread in listed["threads"]] == [mine]
    assert listed["total"] == 1
    assert theirs not in str(listed)


def test_a_taken_id_is_not_given_again(clean):
    made(clean, A, id="thread-taken")
    assert clean.http("POST", "/api/threads", user=B, body={"id": "thread-taken"})[0] == 403


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        ("POST", "/api/threads", b"{"),
        ("POST", "/api/threads", {"title": 1}),
        ("POST", "/api/threads", {"id": ""}),
        ("GET", "/api/threads?limit=0", None),
        ("GET", "/api/threads?offset=-1", None),
    ],
)
def test_malformed_requests_are_422(clean, verb, path, body):
    assert clean.http(verb, path, user=A, body=body)[0] == 422


def test_unknown_paths_are_404(clean):
    assert clean.http("GET", "/api/threads/none", user=A)[0] == 404
    assert clean.http("GET", "/nowhere")[0] == 404


def test_health_names_the_revision(clean):
    status, body, headers = clean.http("GET", "/health")
    assert status == 200
    assert body["status"] == "healthy"
    assert body["revision"] == headers["X-Revision"] == "abc123"
    assert body["parts"]["database"] == body["parts"]["cache"] == "healthy"
    assert {"service", "version", "timestamp"} <= body.keys()
    assert clean.http("GET", "/health/live")[0] == clean.http("GET", "/health/ready")[0] == 200
