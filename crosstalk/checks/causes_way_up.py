"""What is behind connections that do not become ready, or that carry somebody else; and forged tokens."""

from __future__ import annotations

from crosstalk.checks.causes_group import Cause, Group, Whole

_REFUSED = ("401", "403", "auth", "token", "1008", "unauthorized")


def _refused(group: Group, whole: Whole) -> bool:
    """Refused at the upgrade or at authentication, with a token that we hold to be good."""
    at_upgrade = group.stage == "upgrade" and group.says("http 401", "http 403")
    refused = at_upgrade or (group.stage == "authenticate" and group.says(*_REFUSED))
    return refused and not _forged(group) and not _too_many(group, whole)


def _forged(group: Group) -> bool:
    return group.signature.startswith("forged token")


def _too_many(group: Group, _: Whole) -> bool:
    return group.stage in ("upgrade", "authenticate") and group.says("429", "too many con", "limit")


def _one_way_only(group: Group, whole: Whole) -> bool:
    """Were all of one transport refused?"""
    mine = {one.transport for one in group.members}
    return len(mine) == 1 and not whole.ready_by[next(iter(mine))]


def _other_way_works(group: Group, whole: Whole) -> bool:
    return _one_way_only(group, whole) and whole.ready_by.total() > 0


def _server_fault_before_welcome(group: Group) -> bool:
    return group.stage == "authenticate" and group.has(1011) and not _forged(group)


def _came_up_later(group: Group, whole: Whole) -> bool:
    """Nothing became ready before the last of these had begun, and all of their users did afterwards."""
    first_ready_ns = whole.ready_at[0] if whole.ready_at else 0
    return group.users <= whole.ready_accounts and max(one.from_ns for one in group.members) < first_ready_ns


def _mistaken(group: Group) -> bool:
    return group.signature == "another identity than the token's"


def _demo(group: Group) -> bool:
    """One name for all, or a name that says what it is."""
    names = list(group.identities.items())
    return _mistaken(group) and len(names) == 1 and (len(names[0][1]) > 1 or "demo" in names[0][0])


def _every_token(group: Group, whole: Whole) -> bool:
    """Refused by one way, which nobody got through by, with no other way that works."""
    return _refused(group, whole) and _one_way_only(group, whole) and not _other_way_works(group, whole)


def _http(*codes: str) -> tuple[str, ...]:
    return tuple(f"http {code} " for code in codes)


def _upgrade(group: Group, *codes: str) -> bool:
    return group.stage == "upgrade" and group.says(*_http(*codes))


WAY_UP: tuple[Cause, ...] = (
    Cause(
        "name_unknown",
        "always",
        lambda g, w: g.stage == "resolve",
        "The host's name does not resolve on this machine.",
        "The name given to --host; then DNS, VPN and /etc/hosts of the machine that generates the load.",
    ),
    Cause(
        "own_file_limit",
        "always",
        lambda g, w: g.says("too many open files"),
        "The generator ran out of file descriptors: this is ours, not the target's.",
        "`ulimit -n` of the shell that starts the load test; raise it, or spread the users over more machines.",
    ),
    Cause(
        "nobody_listens",
        "always",
        lambda g, w: g.stage == "connect" and g.says("refused"),
        "The host answers, and no process accepts connections on that port.",
        "Whether the server runs, listens on this port, and on this address and not on 127.0.0.1 alone.",
    ),
    Cause(
        "packets_dropped",
        "likely",
        lambda g, w: g.stage == "connect" and g.says("timed out", "timeout"),
        "Nothing answers the connect: a firewall drops it, the address is wrong, or the accept queue is full.",
        "Firewall and security group of the port; under load, the listen backlog and the process that accepts.",
    ),
    Cause(
        "certificate_not_trusted",
        "always",
        lambda g, w: g.stage == "tls" and g.says("not trusted"),
        "The certificate did not pass: its authority is not known here, its name is another, or its time is over.",
        "The reason in the signature; name a private authority with --ca FILE, and use the name that the certificate "
        "has.",
    ),
    Cause(
        "no_tls_there",
        "likely",
        lambda g, w: g.stage == "tls" and (not g.says("not trusted")),
        "The port does not speak TLS as expected: it serves plain HTTP, or a proxy ended the handshake.",
        "Whether the target is wss:// or ws://, and where TLS ends on the way to the server.",
    ),
    Cause(
        "wrong_path",
        "likely",
        lambda g, w: _upgrade(g, "404") and not w.ready,
        "No WebSocket is served at this path, or a proxy does not route it.",
        "The dialect's socket path against the server's routes; the proxy's rule for this path.",
    ),
    Cause(
        "instances_differ",
        "likely",
        lambda g, w: _upgrade(g, "404") and w.ready > 0,
        "The path is served to some and not to others: one of several instances is another build, or is not "
        "routed alike.",
        "Which instance answered (address, headers), its build, and the proxy's rules.",
    ),
    Cause(
        "redirected",
        "always",
        lambda g, w: _upgrade(g, "301", "302", "303", "307", "308"),
        "The upgrade is answered by a redirect, which a WebSocket client does not follow.",
        "Scheme and host given to --host: http to https, a missing trailing slash, or a login page in front.",
    ),
    Cause(
        "proxy_without_websocket",
        "likely",
        lambda g, w: _upgrade(g, "200", "400", "426"),
        "Something that speaks only HTTP answered: a proxy that drops the Upgrade header, or another service.",
        "The proxy's settings for `Upgrade` and `Connection` headers; what is served at this path over plain HTTP.",
    ),
    Cause(
        "no_healthy_instance",
        "likely",
        lambda g, w: _upgrade(g, "502", "503", "504"),
        "A proxy has no instance behind it that answers, or the server is still starting.",
        "Health of the instances at that time, restarts, and the proxy's own log.",
    ),
    Cause(
        "still_starting",
        "likely",
        lambda g, w: (
            g.stage in ("connect", "upgrade", "authenticate", "ready")
            and (not _mistaken(g))
            and (not _forged(g))
            and _came_up_later(g, w)
        ),
        "The server was still starting: all of these came before the first connection that became ready.",
        "The start-up log and the readiness check: it may say ready too early. Start the load after /health says 200.",
    ),
    Cause(
        "too_many_connections",
        "likely",
        _too_many,
        "A limit on connections, of the server or of a proxy, was reached.",
        "Sockets a user and sockets an address that are allowed; `Retry-After` in the answer.",
    ),
    Cause(
        "transport_not_read",
        "likely",
        lambda g, w: _refused(g, w) and _other_way_works(g, w),
        "The token is good, as it works another way: this server does not read it from where it was sent.",
        "How the server takes tokens (header, subprotocol, query, message), and proxies that strip the header.",
    ),
    Cause(
        "secret_differs",
        "likely",
        lambda g, w: _every_token(g, w) and (not w.ready),
        "Every token is refused: the secret that signs them here is not the target's, or a claim is not as expected.",
        "JWT_SECRET_<ENVIRONMENT> here and there; issuer, audience, `env` and clock of the tokens against the "
        "validator.",
    ),
    Cause(
        "transport_not_read_perhaps",
        "possible",
        _every_token,
        "The server may not read a token from where it was sent; no other way was tried in this load test.",
        "The same with another --auth (header, subprotocol, query, message): if one works, it is the way and not the "
        "token.",
    ),
    Cause(
        "some_accounts_refused",
        "possible",
        lambda g, w: _refused(g, w) and (not _one_way_only(g, w)),
        "Some tokens are refused and others are not, by the same way: accounts that are not known or have expired, or "
        "instances that do not share a secret.",
        "Which accounts, and which instance answered them; `exp` of their tokens.",
    ),
    Cause(
        "settings_missing",
        "likely",
        lambda g, w: _server_fault_before_welcome(g) and (not w.ready) and ((w.health_status or 200) >= 500),
        "Settings or secrets never reached the server: health says so as well, and authentication fails inside.",
        "Environment variables and mounted secrets of the running process, not of the deployment's file.",
    ),
    Cause(
        "validator_refuses",
        "likely",
        lambda g, w: _server_fault_before_welcome(g) and (not w.ready),
        "A fault inside authentication for every account: a validator refuses this shape of user ids, or a setting "
        "that it needs never reached the server.",
        "The exception at authentication in the server's log; the shape of user ids that it accepts (a setting here); "
        "its environment variables.",
    ),
    Cause(
        "account_breaks_server",
        "possible",
        lambda g, w: _server_fault_before_welcome(g) and w.ready > 0,
        "A fault inside authentication for some connections only: the data of these accounts, or one instance of "
        "several.",
        "The exception at authentication; what these accounts have in common.",
    ),
    Cause(
        "died_before_welcome",
        "possible",
        lambda g, w: g.stage == "authenticate" and g.has(1006),
        "The transport died between the upgrade and the welcome: a crash, or a proxy that gave up.",
        "Restarts of the process at that time; the proxy's log.",
    ),
    Cause(
        "no_welcome",
        "likely",
        lambda g, w: g.stage == "ready" and g.says("no welcome"),
        "The socket was accepted and authentication, or a service that it waits for, did not come back.",
        "What the server does between accept and welcome: user lookup, cache, database; and whether they were "
        "reachable.",
    ),
    Cause(
        "other_greeting",
        "possible",
        lambda g, w: g.stage == "ready" and g.says("no welcome") and (not w.ready),
        "The server may greet in another way, or wait for the token in a first message.",
        "The first frames of the socket; --auth message; --dialect.",
    ),
    Cause(
        "demo_mode",
        "likely",
        lambda g, w: _demo(g),
        "Every welcome names one user: the server runs in a demo or test mode and does not look at the token.",
        "Switches such as DEMO_MODE, and the place where the socket's user is set. Nothing else in this report can be "
        "believed before.",
    ),
    Cause(
        "hashed_ids",
        "likely",
        lambda g, w: _mistaken(g) and len(g.identities) > 1,
        "User ids are made up from the token, not read from it: a relaxed mode that hashes tokens into a small space, "
        "where users collide sooner or later.",
        "The fallback of the authentication for tokens that it cannot verify; how many ids it can make.",
    ),
    Cause(
        "identity_not_from_token",
        "possible",
        lambda g, w: _mistaken(g) and len(g.identities) == 1 and (not _demo(g)),
        "The socket carries a user that is not the token's subject: a demo or test mode, a cached session, or an id "
        "that is made from the token and not read from it.",
        "Where the socket's user is set; the claim that it is read from.",
    ),
    Cause(
        "breaker_permissive",
        "likely",
        lambda g, w: g.signature == "forged token accepted" and w.forged_refused_first,
        "A forged token was refused at first and accepted later: an authentication breaker that opens to everybody "
        "after failures.",
        "What the circuit breaker of the authentication does when it opens: it must refuse.",
    ),
    Cause(
        "signature_not_checked",
        "likely",
        lambda g, w: g.signature == "forged token accepted" and (not w.forged_refused_first),
        "A token that nobody signed is accepted: the signature is not verified in this environment.",
        "The options of the token's decoding (verify, algorithms), and switches that relax it outside production.",
    ),
    Cause(
        "claim_not_checked",
        "likely",
        lambda g, w: g.signature.startswith("forged token accepted: "),
        "A token is accepted in which just one thing is wrong, the one that is named: that is not verified.",
        "The options of the token's decoding: the claims that it requires and compares, and its list of algorithms.",
    ),
    Cause(
        "rejection_crashes",
        "likely",
        lambda g, w: g.signature.startswith("forged token answered by a server fault"),
        "The server fails on a bad token where it should refuse it: an exception in the authentication is not handled.",
        "The exception for this trace; the answer should be 401, 403 or close 1008.",
    ),
)
