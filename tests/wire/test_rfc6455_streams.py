"""FrameReader against the sans-I/O parser of the `websockets` package: the same bytes, however they are cut.

Both must hand out the same messages, break at the same frame, and answer with the same close code. They differ in five
places, each decided by the RFC and written down in `differs_rightly`.
"""

import struct
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Opcode as Theirs
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from crosstalk.wire.rfc6455 import BROKEN_BYTES_MAX, Broken, Close, FrameReader, Message, Received

LIMIT = 300
WIDE = 1 << 24
URI = parse_uri("ws://server.example.com/")

# --- both sides, in the same words ----------------------------------------------------------------------------------

Told = tuple[Any, ...]  # (opcode, data), ("close", code, reason), ("broken", close code)


def theirs(data: bytes, size_max: int) -> list[Told]:
    """What `websockets` makes of the stream. It leaves the text of messages to its callers: that is judged here."""
    protocol = ClientProtocol(URI, state=OPEN, max_size=size_max)
    protocol.receive_data(data)
    told: list[Told] = []
    whole, kind = b"", Theirs.TEXT
    for frame in protocol.events_received():
        if frame.opcode in (Theirs.PING, Theirs.PONG):
            told.append((int(frame.opcode), bytes(frame.data)))
        elif frame.opcode is Theirs.CLOSE:
            told.append(("close", int(protocol.close_rcvd.code), protocol.close_rcvd.reason))
        else:
            kind = frame.opcode if frame.opcode is not Theirs.CONT else kind
            whole += bytes(frame.data)
            if kind is Theirs.TEXT and not is_text(whole, so_far=not frame.fin):
                return [*told, ("broken", 1007)]
            if frame.fin:
                told.append((int(kind), whole))
                whole = b""
    if protocol.parser_exc is not None:
        told.append(("broken", int(protocol.close_sent.code)))
    return told


def is_text(data: bytes, *, so_far: bool) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return so_far and error.reason == "unexpected end of data"
    return True


def read(data: bytes, cuts: list[int], size_max: int) -> list[Received]:
    """What the reader makes of the stream, cut in these places."""
    reader, received, start = FrameReader(size_max_bytes=size_max), [], 0
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        received += reader.feed(data[start:cut])
        start = cut
    return received


def said(received: list[Received]) -> list[Told]:
    told: list[Told] = []
    for item in received:
        match item:
            case Message(opcode, payload):
                told.append((int(opcode), payload))
            case Close(code, reason):
                told.append(("close", code, reason))
            case Broken(code):
                told.append(("broken", code))
    return told


# --- streams --------------------------------------------------------------------------------------------------------


def rarely(draw, one_in: int) -> bool:
    return draw(st.sampled_from(range(one_in))) == one_in // 2


def header(first: int, size: int, *, masked: bool, wider: int) -> bytes:
    """`wider`: the length takes that many steps more than it needs."""
    step = min((0 if size < 126 else 1 if size < 1 << 16 else 2) + wider, 2)
    mask = masked << 7
    if step == 0:
        return bytes([first, mask | size])
    return struct.pack("!BBH" if step == 1 else "!BBQ", first, mask | (125 + step), size)


said_texts = st.text(alphabet="a ä€😀", max_size=40).map(str.encode)
sizes = st.sampled_from([0, 1, 5, 60, 124, 125, 126, 127, 150, 299, 300, 301, 65535, 65536])
close_codes = st.one_of(
    st.sampled_from([1000, 1001, 1003, 1008, 1011, 1014, 3000, 4999]), st.sampled_from([0, 999, 1004, 1005, 1006, 1015,
    1016, 2999, 5000, 65535])
)  # fmt: skip


@st.composite
def payloads(draw, opcode: int) -> bytes:
    if opcode == 8:
        if rarely(draw, 6):
            return draw(st.binary(max_size=3))
        code, reason = draw(close_codes), draw(said_texts)
        return struct.pack("!H", code) + (reason[:-1] if rarely(draw, 4) else reason)
    if opcode == 1 or draw(st.booleans()):
        said = draw(said_texts)
        return said + b"\xff" if rarely(draw, 12) else said
    return b"\x8c" * draw(sizes if opcode < 8 else st.sampled_from([0, 1, 4, 124, 125]))


@st.composite
def frames(draw) -> list[bytes]:
    """Frames in an order that is mostly right; in each, one thing or another is wrong now and then."""
    sent: list[bytes] = []
    inside, text, said = False, False, b""
    for _ in range(draw(st.integers(0, 7))):
        control = rarely(draw, 4)
        opcode = draw(st.sampled_from([9, 10, 8])) if control else 0 if inside else draw(st.sampled_from([1, 2]))
        payload = draw(payloads(opcode))
        final = True if control else draw(st.booleans())
        if not control:
            text = opcode == 1 if not inside else text
            if text and opcode == 1 and not final and rarely(draw, 2):
                said = draw(said_texts)  # a text that goes on where it was cut, maybe in mid-character
                at = draw(st.integers(0, len(said)))
                payload, said = said[:at], said[at:]
            elif text and inside:
                payload, said = (said, b"") if not rarely(draw, 8) else (payload, said)
            inside = not final
        first, wider, masked = final << 7 | opcode, 0, False
        match draw(st.sampled_from(range(70))):
            case 31:
                first = draw(st.integers(0, 255))
            case 32:
                first |= draw(st.sampled_from([16, 32, 64]))
            case 33:
                masked = True
            case 34:
                wider = draw(st.integers(1, 2))
            case 35:
                first ^= 0x80
            case 36:
                first = first & 0xF0 | draw(st.sampled_from([0, 1, 2]))
            case 37:
                payload += bytes(126)
        start = header(first, len(payload), masked=masked, wider=wider)
        if rarely(draw, 60):
            huge = draw(st.sampled_from([1 << 63, 1 << 63 | 5, (1 << 63) - 1, 1 << 40]))
            start = struct.pack("!BBQ", first, 127, huge)
        sent.append(start + bytes(4 * masked) + payload)
    if sent and rarely(draw, 4):
        sent[-1] = sent[-1][: draw(st.integers(1, len(sent[-1])))]
    return sent


cuttings = st.one_of(
    st.lists(st.integers(0, 400), max_size=12),
    st.integers(1, 9).map(lambda step: list(range(0, 2000, step))),
)


# --- and what both say ----------------------------------------------------------------------------------------------


def announced(frame: bytes) -> tuple[int, int]:
    """The length of the payload as the header has it, and that of the header."""
    size = (frame[1] & 0x7F) if len(frame) > 1 else 0
    stop = {126: 4, 127: 10}.get(size, 2)
    return (size if stop == 2 else int.from_bytes(frame[2:stop], "big")), stop


def up_to_the_end(sent: list[bytes], size_max: int) -> list[tuple[bytes, int | None]]:
    """The frames until one ends the stream, each with the size of the message that had begun; None: there is none."""
    reader = FrameReader(size_max_bytes=size_max)
    read_so_far: list[tuple[bytes, int | None]] = []
    open_bytes: int | None = None
    for frame in sent:
        read_so_far.append((frame + bytes(10), open_bytes))  # where it is cut short: as it is padded below
        received = reader.feed(frame)
        if received and not isinstance(received[-1], Message):
            break
        if not frame[0] & 0x08:
            open_bytes = None if frame[0] & 0x80 else (open_bytes or 0) + announced(frame)[0]
    return read_so_far


def differs_rightly(sent: list[bytes], size_max: int, mine: list[Received]) -> str:
    """Why the two differ on this stream, or an AssertionError where no reason is known."""
    data = b"".join(sent)
    told, same = theirs(data, size_max), said(mine)
    steps = up_to_the_end(sent, size_max)
    crowded = any(frame[0] & 0x08 and announced(frame)[0] > size_max - (begun or 0) for frame, begun in steps)
    if crowded and told[-1:] == [("broken", 1009)]:
        # they count a control frame as a part of the message around it; 5.4 only lets it stand between the parts
        assert told[:-1] == same[: len(told) - 1]
        return "control frame where the message has no room left"
    last, before = mine[-1], same[:-1]
    frame, open_bytes = steps[-1]
    size, header_bytes = announced(frame)
    if isinstance(last, Close):
        # 5.4: "Control frames MAY be injected in the middle of a fragmented message", and a close frame is one
        assert (told, open_bytes is not None) == ([*before, ("broken", 1002)], True)
        return "close in mid-message"
    assert isinstance(last, Broken)
    if header_bytes > (2 if size < 126 else 4 if size < 1 << 16 else 10):
        # 5.2: "in all cases, the minimal number of bytes MUST be used to encode the length"; they read on
        assert (told[: len(before)], last.code) == (before, 1002)
        return "length in more bytes than it needs"
    # they see most of what is wrong with a header when its payload is there: so it shall be
    told = theirs(data + bytes(70_000), size_max)
    if told == same:
        return "told by the header"
    # where a frame is wrong and too large, too (a length with the top bit set is both), they look at the size first:
    # the answer to a frame that must not be at all is 1002 (7.4.1), however large it says that it is
    assert (last.code, told) == (1002, [*before, ("broken", 1009)])
    assert size > size_max - (open_bytes or 0)
    return "wrong and too large"


def test_both_read_any_stream_alike_or_the_rfc_says_why_not():
    outcomes: Counter[str] = Counter()

    @settings(max_examples=1200, deadline=None)
    @given(frames(), cuttings, st.sampled_from([LIMIT, LIMIT, WIDE]))
    def compare(sent: list[bytes], cuts: list[int], size_max: int) -> None:
        data = b"".join(sent)
        mine = read(data, cuts, size_max)
        if said(mine) == theirs(data, size_max):
            last = said(mine)[-1:] or [("nothing",)]
            outcomes[" ".join(map(str, last[0][: 1 + (last[0][0] == "broken")]))] += 1
        else:
            outcomes[differs_rightly(sent, size_max, mine)] += 1

    compare()
    # the streams are such that all this comes up
    assert outcomes.keys() >= {"nothing", "1", "2", "9", "10", "close", "broken 1002", "broken 1007", "broken 1009"}


@pytest.mark.parametrize(
    ("sent", "why", "last"),
    [
        ([b"\x01\x01a", b"\x88\x02\x03\xe8", b"\x80\x00"], "close in mid-message", ("close", 1000, "")),
        ([b"\x01\x01a", b"\x88\x02\x03\xed"], "", ("broken", 1002)),
        (
            [b"\x02\x7e\x01\x2c" + bytes(300), b"\x89\x01?"],
            "control frame where the message has no room left",
            (9, b"?"),
        ),
        ([b"\x81\x7e\x00\x01a"], "length in more bytes than it needs", ("broken", 1002)),
        ([b"\x89\x7f" + bytes(8)], "length in more bytes than it needs", ("broken", 1002)),
        ([b"\x82\x7f\x80" + bytes(7)], "wrong and too large", ("broken", 1002)),
        ([b"\xc2\x7e\x01\x2d"], "wrong and too large", ("broken", 1002)),
        ([b"\xc2\x7e\x01\x2c"], "told by the header", ("broken", 1002)),
        ([b"\x02\x02ab", b"\x00\x7e\x01\x2b"], "", ("broken", 1009)),
    ],
)
def test_where_they_differ(sent, why, last):
    mine = read(b"".join(sent), [], LIMIT)
    assert said(mine)[-1] == last
    assert (said(mine) != theirs(b"".join(sent), LIMIT)) == bool(why)
    assert not why or differs_rightly(sent, LIMIT, mine) == why


@settings(max_examples=400, deadline=None)
@given(frames(), cuttings, cuttings, st.sampled_from([LIMIT, WIDE]))
def test_the_cuts_change_nothing(sent, cuts, others, size_max):
    data = b"".join(sent)
    whole, one, two = (read(data, where, size_max) for where in ([], cuts, others))
    assert whole == [_as(item, other) for item, other in zip(one, whole, strict=True)]
    assert said(one) == said(two)
    for item, other in zip(one[-1:], whole[-1:], strict=True):
        if isinstance(item, Broken | Close):
            assert item == other  # the reason, too
        # of what breaks the protocol, a cut takes away what had not come yet, and nothing else
        if isinstance(item, Broken):
            assert other.data.startswith(item.data)
            assert len(other.data) <= BROKEN_BYTES_MAX
        if isinstance(item, Close):
            assert other.rest.startswith(item.rest)
            assert item.unfinished == other.unfinished
            assert other.rest in data


def _as(item: Received, other: Received) -> Received:
    """Where a message ends a read depends on the cuts, and nothing else."""
    if isinstance(item, Message) and isinstance(other, Message):
        return Message(item.opcode, item.data, other.last_of_feed)
    return item


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=4))
def test_arbitrary_bytes_break_alike(data, cuts):
    mine = read(data, cuts, WIDE)
    if said(mine) != theirs(data, WIDE):
        differs_rightly(split(data), WIDE, mine)


def split(data: bytes) -> list[bytes]:
    """The frames in there, as far as their headers are to be believed."""
    frames = []
    while data:
        size, start = announced(data)
        frames.append(data[: start + size])
        data = data[start + size :]
    return frames
