"""Canaries that must be decoded first: any two transforms, one in the other, anywhere in what came on a connection.

Not for the receive path: a finished run's transcript, or whatever else a connection brought, is searched at once.

    texts ─ distil ─► each field as one text ─► look ─► decode ─► look ─► decode ─► look
                      (split over chunks)       case, separators, rot13 and reversed are read off every text

A text that came out of a decoder is reported only where 35 bits of a canary's MAC are right (`Keyring.find`), so random
text is not: a text would have to hold "ctlk" and then guess them, 2⁻⁵⁵ a position.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace

from crosstalk.checks import quick, strings, transforms
from crosstalk.checks.canary import HEAD_LENGTH, LENGTH, MATCHES_MAX, PREFIX, Hit, Keyring
from crosstalk.checks.distil import Distilled, distil
from crosstalk.checks.findings import DeepHit, Found
from crosstalk.checks.pieces import Pieces

LAYERS = 2
BUDGET_BYTES = 4 << 20
#: more is searched in full at once
QUICK_BYTES_MAX = 1 << 18
#: letters of a MAC that must be right, wherever wrong ones stand between them: chance is C(15,9) / 32⁹ ≈ 10⁻¹⁰
GARBLED_MAC_LETTERS = 9

#: less holds neither a piece nor a name
SHORTEST_VIEW = 7
_PREFIX = PREFIX.encode()
#: what the prefix becomes, and how to get it back; both are their own inverse, so their order is free
_DISGUISES = (
    (("rot13",), transforms.rot13(_PREFIX)),
    (("reversed",), _PREFIX[::-1]),
    (("rot13", "reversed"), transforms.rot13(_PREFIX)[::-1]),
)
#: what `_look` reads off a text anyway
_REARRANGING = frozenset({"separators", "rot13", "reversed"})


def no_names(_text: bytes) -> tuple[str, ...]:
    return ()


class Deep:
    """Searches texts for hidden canaries.

    :param pieces: canaries of this process, for pieces without their head; None: those are not looked for.
    :param names_in: accounts' names that stand in a text.
    :param budget_bytes: looked at in one search, decoded texts included.
    """

    def __init__(
        self,
        keyring: Keyring,
        pieces: Pieces | None = None,
        *,
        names_in: Callable[[bytes], Iterable[str]] = no_names,
        budget_bytes: int = BUDGET_BYTES,
    ) -> None:
        self._keyring = keyring
        self._names_in = names_in
        self._pieces = pieces
        self._budget_bytes = budget_bytes
        self.memory = quick.Memory(keyring.head.encode())
        self.controls: dict[int, tuple[int, bool]] = {}  # disguise → how often it was asked about, the last answer

    def search(self, data: bytes, known: Set[bytes] = frozenset()) -> Found:
        """Strangers in one text. :param known: whole own canaries, lower case, that may be in it. Never raises."""
        return self.search_parts([data], known)

    def search_parts(
        self, parts: Sequence[bytes], known: Set[bytes] = frozenset(), *, with_texts: bool = True
    ) -> Found:
        """Strangers in texts that belong together, in their order: each by itself, all joined, and field by field.

        :param with_texts: `Found.texts` is wanted.
        """
        if sum(map(len, parts)) <= QUICK_BYTES_MAX and (said := strings.read(parts)) is not None:
            found = self._new(known).run_quickly(said, parts, self.memory, with_texts)
            if found is not None:
                return found
        return self.search_fully(parts, known)

    def search_fully(self, parts: Sequence[bytes], known: Set[bytes] = frozenset()) -> Found:
        """As `search_parts`, without asking first whether there is anything to search for."""
        return self._new(known).run(parts)

    def _new(self, known: Set[bytes]) -> _Search:
        return _Search(self._keyring, self._pieces, self._names_in, known, self._budget_bytes)


@dataclass(slots=True)
class _Search:
    """One search: what it found so far, and what it may still look at."""

    keyring: Keyring
    pieces: Pieces | None
    names_in: Callable[[bytes], Iterable[str]]
    known: Set[bytes]
    budget_bytes: int
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    hits: dict[bytes, DeepHit] = field(default_factory=dict)  # head → by the fewest steps
    unverified: list[DeepHit] = field(default_factory=list)
    cut: dict[bytes, DeepHit] = field(default_factory=dict)  # piece → how it was found
    weak: dict[bytes, DeepHit] = field(default_factory=dict)
    own: set[bytes] = field(default_factory=set)
    layers_seen: dict[bytes, int] = field(default_factory=dict)  # view → layers that were left for it
    own_pieces: Set[bytes] = frozenset()  # canaries of which pieces are not looked for
    bytes_looked_at: int = 0
    bytes_skipped: int = 0

    def run_quickly(
        self, said: strings.Strings, parts: Sequence[bytes], memory: quick.Memory, with_texts: bool
    ) -> Found | None:
        """What `run` finds, where it finds no stranger; None where it may find one."""
        self.own_pieces = self.known
        names, texts, fields, known = memory.new_in(said)
        every = {*names, *texts}.union(*[one.different for one in fields])  # joined texts too
        view = text = _spaced([*texts, *names])
        explained = quick.is_explained(transforms.letters(text), self.known, self.own)
        if any([one.long for one in fields]):
            view = _spaced([*_with_long(texts, fields), *names])
        closed = quick.is_closed(view, memory.long_words)
        if not closed:
            self._explore(view)
        elif not explained:
            self._look(view, ())
        if not explained or quick.is_straddled(
            [*texts, *names], [one.different for one in fields], beside=memory.ends, known=self.known
        ):
            # one canary may stand in several fields: how they lie beside each other counts
            raw = b"\n".join(parts)
            self._look_plainly(raw)
            self._look(raw, ())
            self._look("".join(distil(parts).in_order).encode(errors="replace"), ())
        for byte_list in said.byte_lists:
            self._explore(byte_list)
        for one in fields:
            self._look_at_chunks(one.values)
        lines = _lines([*every, *known])
        self._look_at_new_words(lines, memory)
        if self.unverified or self.cut or self.weak or self.bytes_skipped or self._strangers():
            return None
        if closed:
            memory.remember(every, names, self._holds_nothing)
        self.bytes_looked_at += sum(map(len, parts)) + len(text)
        self.hits = {}
        return self._found(texts=(lines, said.ids()) if with_texts else ())

    def _look_at_new_words(self, lines: bytes, memory: quick.Memory) -> None:
        """Names in texts, and pieces of canaries in words of them that were not looked at before.

        What is one's own here is a stranger's to the next observer: a word that holds a piece of it is not remembered.
        """
        for name in self.names_in(lines):
            self.names.setdefault(name, ())
        words = list(memory.words.unknown_words(lines, SHORTEST_VIEW))
        if not words:
            return
        joined = b" ".join(words)
        runs = self.pieces.runs_with_pieces(joined) if self.pieces is not None else []
        if runs:
            held = [word for word in words if any([run in word.lower() for run in runs])]
            self._look_for_pieces(b" ".join(held), ())
            words = [word for word in words if word not in held]
        if not self._look_for_short_names(joined):
            memory.words.remember(words)

    def _holds_nothing(self, text: bytes) -> bool:
        """Is there nothing in a text that anybody could be told of, also later?"""
        if any(self.names_in(text)) or any(self._short_names(text)):
            return False
        return self.pieces is None or not self.pieces.search(text)

    def _strangers(self) -> bool:
        """Is anything found but known canaries, or what is left of them?"""
        if not self.hits:
            return False
        heads = {canary[:HEAD_LENGTH] for canary in self.known}
        return not self.hits.keys() <= heads

    def _look_at_chunks(self, chunks: Sequence[str]) -> None:
        """Chunks that were each turned around, or encoded, by itself."""
        turned = self._afford(transforms.chunks_backwards(chunks))
        if not quick.is_explained(transforms.letters(turned), self.known, self.own):
            self._look(turned, ("reversed",))
        for name, text in transforms.chunk_by_chunk(chunks):
            self._explore(text, (name,))

    def run(self, parts: Sequence[bytes]) -> Found:
        raw = self._afford(b"\n".join(parts))
        self._look_plainly(raw)
        plain = dict(self.hits)
        self._look(raw, ())
        distilled = distil(parts)
        strings = b"\n".join([*_encoded(distilled.strings()), *distilled.others])
        self._look_for_names_and_pieces(strings, ())
        self._look_for_short_names(strings)
        if len(distilled.in_order) > 1:
            self._look(self._afford("".join(distilled.in_order).encode(errors="replace")), ())
        self._explore(distilled.text())
        others = b"".join(distilled.others)
        # JSON's own escapes are no layer, in documents that could not be read either
        for text in (others, *transforms.without_escapes(others), *distilled.byte_lists):
            self._explore(text)
        for chunks in distilled.chunked():
            self._look_at_chunks(chunks)
        self._name_roots(distilled, plain)
        return self._found()

    def _found(self, texts: tuple[bytes, ...] = ()) -> Found:
        """Each canary once: as a piece only where its head is missing, as unverified only where no piece proves it."""
        canaries = {_place(one) for one in self.hits.values()}
        pieces = {piece: one for piece, one in self.cut.items() if _place(one) not in canaries}
        unverified = [one for one in self.unverified if not any(piece in one.hit.canary for piece in pieces)]
        return Found(
            hits=(*self.hits.values(), *pieces.values(), *unverified),
            own=frozenset(self.own),
            weak=tuple(self.weak.values()),
            names=self.names,
            bytes_looked_at=self.bytes_looked_at,
            bytes_skipped=self.bytes_skipped,
            texts=texts,
        )

    def _explore(self, root: bytes, steps: tuple[str, ...] = ()) -> None:
        """Look at a text, which `steps` led to, and at everything that it may have been before, layer by layer."""
        waiting = deque([(root, steps)])
        while waiting:
            view, steps = waiting.popleft()
            layers = LAYERS - len(steps)
            if len(view) < SHORTEST_VIEW or self.layers_seen.get(view, -1) >= layers:
                continue
            self.layers_seen[view] = layers
            first = view is root
            view = self._afford(view)
            if first or steps[-1] not in _REARRANGING:
                self._look(view, steps)
                self._look_for_names_and_pieces(view, steps)
            if not layers:
                continue
            for name, decode in transforms.DECODERS:
                waiting.extend((inner, (*steps, name)) for inner in decode(view))
            if layers > 1:  # what is beneath the last layer, `_look` reads
                waiting.append((transforms.rot13(view), (*steps, "rot13")))
                waiting.append((transforms.backwards(view), (*steps, "reversed")))

    def _afford(self, text: bytes) -> bytes:
        """As much of the text as the budget has left; the rest is counted."""
        left = max(0, self.budget_bytes - self.bytes_looked_at)
        if len(text) > left:
            self.bytes_skipped += len(text) - left
            text = text[:left]
        self.bytes_looked_at += len(text)
        return text

    # --- one text ---------------------------------------------------------------------------------------------------

    def _look_plainly(self, raw: bytes) -> None:
        for hit in self.keyring.strangers(raw, self.known, self.own):
            steps = ("case",) if hit.folded else ()
            if hit.label.verified:
                self._keep(hit, steps)
            elif not self._keep_garbled(hit, steps):
                self.unverified.append(DeepHit(hit, steps))

    def _look(self, view: bytes, steps: tuple[str, ...]) -> None:
        """Canaries in a view's letters, as they are, in rot13, backwards, or both."""
        low = transforms.letters(view)
        for hit in self.keyring.strangers(low, self.known, self.own):
            self._take(hit, view, steps, ())
        for names, prefix in _DISGUISES:
            at, looked_at = low.find(prefix), 0
            while at >= 0:
                looked_at += 1
                if looked_at > MATCHES_MAX:
                    self.bytes_skipped += len(low) - at
                    break
                end = at + len(prefix)
                stretch = low[max(0, end - LENGTH) : end] if "reversed" in names else low[at : at + LENGTH]
                for hit in self.keyring.strangers(_disguised(stretch, names), self.known, self.own):
                    self._take(hit, view, steps, names)
                at = low.find(prefix, at + 1)

    def _take(self, hit: Hit, view: bytes, steps: tuple[str, ...], names: tuple[str, ...]) -> None:
        stands = _disguised(
            hit.canary[: self.keyring.verified_length(hit)] if hit.label.verified else hit.canary, names
        )
        if stands in view:
            reading: tuple[str, ...] = ()
        elif stands in view.lower():
            reading = ("case",)
        elif stands in transforms.letters_as_they_are(view):
            reading = ("separators",)
        else:
            reading = ("separators", "case")
        path = (*steps, *reading, *names)
        if hit.label.verified:
            self._keep(hit, path)
        else:
            self._keep_garbled(hit, path)

    def _keep(self, hit: Hit, steps: tuple[str, ...]) -> None:
        """Keep a verified hit, without letters behind it that are not the canary's."""
        hit = replace(hit, canary=hit.canary[: self.keyring.verified_length(hit)])
        head = hit.canary[:HEAD_LENGTH]
        known = self.hits.get(head)
        # a whole one before a piece of it; then the one that is least hidden
        if known is None or (hit.label.partial, len(steps)) < (known.hit.label.partial, len(known.steps)):
            self.hits[head] = DeepHit(hit, steps)

    def _keep_garbled(self, hit: Hit, steps: tuple[str, ...]) -> bool:
        """Keep a hit with a whole head whose MAC is right but for a few letters; False where it is not."""
        if self.keyring.mac_letters_right(hit) < GARBLED_MAC_LETTERS:
            return False
        label = replace(hit.label, verified=True, partial=True)
        self.hits.setdefault(hit.canary[:HEAD_LENGTH], DeepHit(replace(hit, label=label), (*steps, "garbled")))
        return True

    def _look_for_short_names(self, text: bytes) -> bool:
        """Names in tokens that are too short to hold a canary: base64 or hexadecimal of "user:NAME". Are there any?"""
        any_names = False
        for name, step in self._short_names(text):
            self.names.setdefault(name, (step,))
            any_names = True
        return any_names

    def _short_names(self, text: bytes) -> Iterator[tuple[str, str]]:
        """(name, how it is encoded)."""
        if self.names_in is no_names:
            return
        for token in transforms.short_tokens(text):
            # base64 of a name has capitals: digits, for one, give M, N and O
            as_base64 = [] if token.islower() else transforms.from_token(token)
            for step, texts in (("base64", as_base64), ("hex", transforms.from_hex_token(token))):
                for decoded in texts:
                    for name in self.names_in(decoded):
                        yield name, step

    def _look_for_names_and_pieces(self, view: bytes, steps: tuple[str, ...]) -> None:
        for name in self.names_in(view):
            self.names.setdefault(name, steps)
        self._look_for_pieces(view, steps)

    def _look_for_pieces(self, view: bytes, steps: tuple[str, ...]) -> None:
        if self.pieces is None:
            return
        for hit in self.pieces.search(view, self.own_pieces):
            found = DeepHit(hit, (*steps, *(("case",) if hit.folded else ()), "piece"))
            if hit.label.verified:
                self.cut.setdefault(hit.canary, found)
            elif self.pieces.is_worth_a_word(hit, view):
                self.unverified.append(found)
            else:
                self.weak.setdefault(hit.canary, found)

    # --- how it stood in the texts that came ------------------------------------------------------------------------

    def _name_roots(self, distilled: Distilled, plain: dict[bytes, DeepHit]) -> None:
        """Say "split" of what no text holds by itself, and "json" of what stands plainly but for JSON's escapes.

        Only where something was found: every text is searched again by itself.
        """
        hidden = [head for head, one in self.hits.items() if plain.get(head) is not one]
        if not hidden:
            return
        alone = _Search(self.keyring, None, self.names_in, self.known, self.budget_bytes)
        for text in (*_encoded(distilled.strings()), *distilled.others, *distilled.byte_lists):
            if len(text) >= transforms.SHORTEST:
                alone._explore(text)
        for head in hidden:
            known = self.hits[head]
            by_itself = alone.hits.get(head)
            if by_itself is None or by_itself.hit.label.partial > known.hit.label.partial:
                self.hits[head] = DeepHit(known.hit, ("split", *known.steps))
            elif len(by_itself.steps) <= len(known.steps):
                self.hits[head] = by_itself if by_itself.steps else DeepHit(by_itself.hit, ("json",))


def _with_long(texts: Iterable[str], fields: Iterable[strings.Joined]) -> list[str]:
    """Behind the text of a field its long strings, as in `Distilled.text`."""
    long = {one.text: one.long for one in fields}
    return [one for text in texts for one in (text, *long.get(text, ()))]


def _spaced(texts: Iterable[str]) -> bytes:
    return " ".join(texts).encode(errors="replace")


def _lines(texts: Iterable[str]) -> bytes:
    """Each text with a line end before and behind it."""
    return "\n".join(["", *texts, ""]).encode(errors="replace")


def _place(one: DeepHit) -> tuple[int, int, int, int]:
    """Which canary it is, whole or not."""
    label = one.hit.label
    return (label.load_test, label.owner, label.ordinal, label.site)


def _disguised(text: bytes, names: tuple[str, ...]) -> bytes:
    if "rot13" in names:
        text = transforms.rot13(text)
    return text[::-1] if "reversed" in names else text


def _encoded(strings: Iterable[str]) -> list[bytes]:
    return [one.encode(errors="replace") for one in strings]
