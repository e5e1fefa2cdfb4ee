"""Is a listing the expected set, and a history what was said? Channel 7; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from crosstalk.checks.violation import ISOLATION, Violation, delivery


def listing(
    *, listed: Collection[str], expected: Collection[str], before: Collection[str], gone: Collection[str],
    owners: Mapping[str, str], subject: str,
) -> list[Violation]:  # fmt: skip
    """Is the list of threads the expected set?

    :param before: what was listed before the load test made anything; it is neither expected nor foreign.
    :param gone: own threads that were deleted.
    :param owners: account of each listed id that tells it, by its label or because the server told it to somebody.
    """
    found = [
        delivery("missing_from_listing", expected=f"thread {thread} in the list", came="a list without it")
        for thread in sorted(set(expected) - set(listed))
    ]
    for thread in sorted(set(listed) - set(expected) - set(before)):
        owner = owners.get(thread, "")
        if owner == subject or thread in gone:
            if thread in gone:
                found.append(delivery("listed_after_deletion", expected="deleted threads are gone", came=thread))
            continue
        found.append(foreign_listing(subject, f"thread {thread} of {owner or 'nobody known'}", owner, "thread_id"))
    return found


def foreign_listing(subject: str, came: str, owner: str, where: str, owner_run: str = "") -> Violation:
    return Violation(
        ISOLATION,
        "foreign_listing",
        expected=f"only what {subject} said and was told",
        came=came,
        channel=7,
        scope="cross_user" if owner else "unverified",
        owner=owner,
        owner_run=owner_run,
        site="listing",
        field=where,
        decode="plain",
    )


def history(said: Sequence[str], messages: Iterable[tuple[str, str]], *, thread: str) -> list[Violation]:
    """Does a thread's history hold everything that was said and answered, in this order?

    :param said: a piece of each message that tells it from all others (its reference, or all of an answer).
    """
    texts = [text for _, text in messages]
    at, found = 0, []
    for piece in said:
        place = next((n for n in range(at, len(texts)) if piece in texts[n]), -1)
        if place >= 0:
            at = place + 1
            continue
        came = "it stands before what was said earlier" if any(piece in text for text in texts) else "not there"
        expected = f"{piece[:60]!r} in the history of {thread}, in its order"
        found.append(delivery("missing_from_listing", expected=expected, came=f"{came}; {len(texts)} messages"))
    return found
