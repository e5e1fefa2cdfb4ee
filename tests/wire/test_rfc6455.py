"""FrameReader against the sans-I/O parser of the `websockets` package: same bytes, any split, same messages."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.frames import Opcode as Theirs
from websockets.protocol import CLIENT, OPEN, Protocol

from crosstalk.wire.rfc6455 import Broken, Close, FrameReader, Message, Opcode


def server_frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    return Frame(Theirs(opcode), payload, final).serialize(mask=False)


def theirs(data: bytes):
    """What `websockets` makes of the stream: messages, control frames, and "broken" where it fails."""
    protocol = Protocol(CLIENT, state=OPEN, max_size=2**24)
    protocol.receive_data(data)
    messages, pieces, kind = [], [], None
    for frame in protocol.events_received():
        if frame.opcode in (Theirs.PING, Theirs.PONG):
            messages.append((int(frame.opcode), bytes(frame.data)))
        elif frame.opcode is Theirs.CLOSE:
            messages.append(("close", protocol.close_rcvd.code, protocol.close_rcvd.reason))
        else:
            kind = frame.opcode if frame.opcode is not Theirs.CONT else kind
            pieces.append(bytes(frame.data))
            if frame.fin:
                whole = b"".join(pieces)
                pieces = []
                if kind is Theirs.TEXT:
                    try:
                        whole.decode()
                    except UnicodeDecodeError:
                        return [*messages, ("broken",)]
                messages.append((int(kind), whole))
    if protocol.parser_exc is not None and not isinstance(protocol.parser_exc, EOFError):
        messages.append(("broken",))
    return messages


def ours(data: bytes, cuts: list[int]):
    reader, messages, start = FrameReader(size_max_bytes=2**24), [], 0
    for cut in [*sorted(cuts), len(data)]:
        for item in reader.feed(data[start:cut]):
            match item:
                case Message(opcode, payload):
                    messages.append((int(opcode), payload))
                case Close(code, reason):
                    messages.append(("close", code, reason))
                case Broken():
                    messages.append(("broken",))
        start = cut
    return messages


lengths = st.one_of(st.integers(0, 200), st.sampled_from([125, 126, 127, 65535, 65536]))
payloads = lengths.flatmap(
    lambda n: st.binary(min_size=min(n, 64), max_size=min(n, 64)).map(lambda b: (b * (n // 64 + 1))[:n])
)
texts = st.text(max_size=80).map(str.encode)
control = st.tuples(st.sampled_from([9, 10]), st.binary(max_size=125)).map(lambda t: server_frame(*t))
closing = st.tuples(st.sampled_from([1000, 1001, 1008, 1011, 3000, 4999]), st.text(max_size=20)).map(
    lambda t: server_frame(8, struct.pack("!H", t[0]) + t[1].encode())
)


@st.composite
def fragmented(draw):
    pieces = draw(st.lists(payloads, min_size=1, max_size=4))
    between = [draw(st.one_of(st.just(b""), control)) for _ in pieces]
    out = b""
    for number, (piece, extra) in enumerate(zip(pieces, between, strict=True)):
        out += server_frame(2 if number == 0 else 0, piece, final=number == len(pieces) - 1) + extra
    return out


streams = st.lists(
    st.one_of(
        payloads.map(lambda p: server_frame(2, p)), texts.map(lambda p: server_frame(1, p)), control, fragmented()
    ),
    max_size=6,
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(streams, st.one_of(st.just(b""), closing), st.lists(st.integers(0, 5000), max_size=8))
def test_legal_streams_read_alike_under_any_split(stream, close, cuts):
    data = stream + close
    assert ours(data, [min(cut, len(data)) for cut in cuts]) == theirs(data)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=4))
def test_arbitrary_bytes_break_alike(data, cuts):
    mine = ours(data, [min(cut, len(data)) for cut in cuts])
    if mine[-1:] == [("broken",)] and theirs(data) == mine[:-1]:
        # we refuse a bad control frame by its header, they once its payload is there
        assert theirs(data + bytes(70_000)) == mine
    else:
        assert mine == theirs(data)


def test_last_of_feed_marks_only_the_message_that_ends_the_read():
    one, two = server_frame(1, b"a"), server_frame(1, b"b")
    assert [m.last_of_feed for m in FrameReader().feed(one + two)] == [False, True]
    assert [m.last_of_feed for m in FrameReader().feed(one + two[:1])] == [False]


def test_oversize_is_refused_before_its_bytes_are_there():
    reader = FrameReader(size_max_bytes=1000)
    [broken] = reader.feed(struct.pack("!BBQ", 0x82, 127, 2**40))
    assert isinstance(broken, Broken) and broken.code == 1009
    assert reader.feed(server_frame(1, b"more")) == []


def test_not_utf8_is_1007_and_half_a_close_code_1002():
    assert FrameReader().feed(server_frame(1, b"\xff"))[0].code == 1007
    assert FrameReader().feed(server_frame(8, b"\x03"))[0].code == 1002
    assert FrameReader().feed(server_frame(8, b"")) == [Close(1005, "")]
    assert FrameReader().feed(server_frame(9, b"x")) == [Message(Opcode.PING, b"x", True)]
