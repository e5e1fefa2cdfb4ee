"""Each rule of RFC 6455 for what a server sends: what breaks it, at which byte, with which code, and what is kept."""

import struct
import tracemalloc
from collections.abc import Callable, Iterable

import pytest
import websocket

from crosstalk.wire.rfc6455 import BROKEN_BYTES_MAX, Close, FrameReader, Message, Opcode, Received, framed

TEXT, BINARY, CLOSE, PING, PONG = Opcode.TEXT, Opcode.BINARY, Opcode.CLOSE, Opcode.PING, Opcode.PONG
HALF = BROKEN_BYTES_MAX // 2


def raw(opcode: int, payload: bytes = b"", *, final: bool = True, reserved: int = 0) -> bytes:
    """A frame as a server may send it, and as it may not."""
    first, size = final << 7 | reserved << 4 | opcode, len(payload)
    if size < 126:
        return bytes([first, size]) + payload
    header = struct.pack("!BBH", first, 126, size) if size < 1 << 16 else struct.pack("!BBQ", first, 127, size)
    return header + payload


def closing(code: int, reason: bytes = b"") -> bytes:
    return raw(CLOSE, code.to_bytes(2, "big") + reason)


def bytewise(reader: FrameReader, data: bytes) -> list[tuple[int, Received]]:
    """What is received, each with how many bytes had been fed."""
    return [(count + 1, item) for count in range(len(data)) for item in reader.feed(data[count : count + 1])]


def held_bytes(reader: FrameReader, feeds: Iterable[bytes]) -> tuple[int, list[Received]]:
    """What the process holds more at its peak, and what was received; messages are let go."""
    received: list[Received] = []
    tracemalloc.start()
    try:
        for data in feeds:
            received += [item for item in reader.feed(data) if not isinstance(item, Message)]
        return tracemalloc.get_traced_memory()[1], received
    finally:
        tracemalloc.stop()


# --- what breaks it -------------------------------------------------------------------------------------------------

#: bytes, after how many of them the reader says so, close code, section
AT_REST = {
    "reserved bit 1": (raw(TEXT, b"x", reserved=4), 2, 1002, "5.2"),
    "reserved bit 2": (raw(TEXT, b"x", reserved=2), 2, 1002, "5.2"),
    "reserved bit 3": (raw(TEXT, b"x", reserved=1), 2, 1002, "5.2"),
    "reserved bit of a control frame": (raw(PING, b"x", reserved=4), 2, 1002, "5.2"),
    **{f"opcode {opcode}": (raw(opcode, b"x"), 2, 1002, "5.2") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "masked": (b"\x81\x81\x00\x00\x00\x00x", 2, 1002, "5.1"),
    "masked and empty": (b"\x81\x80\x00\x00\x00\x00", 2, 1002, "5.1"),
    "masked and long": (b"\x82\xfe\x01\x00" + bytes(260), 2, 1002, "5.1"),
    "masked close": (b"\x88\x80\x00\x00\x00\x00", 2, 1002, "5.1"),
    "fragmented ping": (raw(PING, b"x", final=False), 2, 1002, "5.5"),
    "fragmented close": (raw(CLOSE, final=False), 2, 1002, "5.5"),
    "ping of 126 bytes": (raw(PING, bytes(126)), 2, 1002, "5.5"),
    "pong with a 64-bit length": (b"\x8a\x7f" + struct.pack("!Q", 5) + b"hello", 2, 1002, "5.5"),
    "close of 126 bytes": (closing(1000, bytes(124)), 2, 1002, "5.5"),
    "half a close code": (raw(CLOSE, b"\x03"), 3, 1002, "5.5.1"),
    "close reason": (closing(1000, b"so\xff"), 7, 1007, "5.5.1"),
    "close reason cut in mid-character": (closing(1000, "ä".encode()[:1]), 5, 1007, "5.5.1"),
    **{
        f"close code {code}": (closing(code), 4, 1002, "7.4")
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535)
    },
}  # fmt: skip


def lengths(first: int) -> dict[str, tuple[bytes, int, int, str]]:
    """Lengths that must not be, in a frame that begins with this byte."""
    return {
        "125 in 16 bits": (struct.pack("!BBH", first, 126, 125) + bytes(125), 4, 1002, "5.2"),
        "0 in 16 bits": (struct.pack("!BBH", first, 126, 0), 4, 1002, "5.2"),
        "65535 in 64 bits": (struct.pack("!BBQ", first, 127, 65535) + b"x", 10, 1002, "5.2"),
        "1 in 64 bits": (struct.pack("!BBQ", first, 127, 1) + b"x", 10, 1002, "5.2"),
        "most significant bit": (struct.pack("!BBQ", first, 127, 1 << 63 | 70_000), 10, 1002, "5.2"),
        "too large": (struct.pack("!BBQ", first, 127, (1 << 63) - 1), 10, 1009, "10.4"),
    }


ONLY_AT_REST = {
    **lengths(0x82),
    "continuation": (raw(0, b"x"), 2, 1002, "5.4"),
    "continuation that goes on": (raw(0, b"x", final=False), 2, 1002, "5.4"),
    "text": (raw(TEXT, b"ab\xffcd"), 7, 1007, "8.1"),
    "text that ends in mid-character": (raw(TEXT, "ä".encode()[:1]), 3, 1007, "8.1"),
    "text with a surrogate": (raw(TEXT, b"\xed\xa0\x80"), 5, 1007, "8.1"),
    "text with an overlong form": (raw(TEXT, b"\xc0\xaf"), 4, 1007, "8.1"),
    "text beyond the last character": (raw(TEXT, b"\xf4\x90\x80\x80"), 6, 1007, "8.1"),
    "first fragment of a text": (raw(TEXT, b"\xff", final=False), 3, 1007, "8.1"),
}

#: after the fragment "begun €" of a text, whose last character is cut behind its second byte
IN_A_MESSAGE = {
    **lengths(0x80),
    "new text": (raw(TEXT, b"x"), 2, 1002, "5.4"),
    "new binary": (raw(BINARY, b"x", final=False), 2, 1002, "5.4"),
    "character not continued": (raw(0, b"x", final=False), 3, 1007, "8.1"),
    "character continued wrongly": (raw(0, b"\xff", final=False), 3, 1007, "8.1"),
    "character not ended": (raw(0, b""), 2, 1007, "8.1"),
    "later fragment": (raw(0, b"\xac fine, then \xff", final=False), 16, 1007, "8.1"),
}

BEGUN = "begun €".encode()[:-1]

BREACHES = [
    *[pytest.param(b"", *case, id=name) for name, case in (AT_REST | ONLY_AT_REST).items()],
    *[pytest.param(BEGUN, *case, id=f"in a message: {name}") for name, case in (AT_REST | IN_A_MESSAGE).items()],
]


@pytest.mark.parametrize(("begun", "bad", "told_after", "code", "section"), BREACHES)
def test_a_breach_is_told_at_its_byte_with_its_code_and_section_and_its_bytes_are_kept(
    begun, bad, told_after, code, section
):
    before = raw(TEXT, b"fine") + (raw(TEXT, begun, final=False) if begun else b"")
    reader, behind = FrameReader(), raw(TEXT, b"not read")
    [(_, fine), (fed, broken)] = bytewise(reader, before + bad + behind)
    assert fine == Message(TEXT, b"fine", True)
    assert (fed - len(before), broken.code) == (told_after, code)
    assert broken.reason.endswith(f" (RFC 6455, {section})")
    header_did_it = section in ("5.1", "5.2", "5.4", "5.5", "10.4")
    shown = bad if header_did_it else bad[2:]
    assert broken.data == begun + shown[: told_after if header_did_it else told_after - 2]

    assert reader.feed(behind) == []
    [_, at_once] = FrameReader().feed(before + bad + behind)
    assert at_once == broken
    assert at_once.data == begun + shown + behind


# --- what does not --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_a_close_code_that_may_be_sent(code):
    reason = "ä" * 61
    assert FrameReader().feed(closing(code, reason.encode())) == [Close(code, reason)]


def test_a_close_without_a_code():
    assert FrameReader().feed(raw(CLOSE)) == [Close(1005, "")]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536])
def test_every_length_in_its_fewest_bytes(size):
    assert FrameReader().feed(raw(BINARY, bytes(size))) == [Message(BINARY, bytes(size), True)]


def test_a_character_may_be_cut_at_every_byte_by_fragments_and_by_control_frames_between_them():
    said = "a ä € 😀".encode()
    pieces = [
        raw(TEXT if at == 0 else 0, said[at : at + 1], final=at == len(said) - 1) + (raw(PING) if at % 2 else b"")
        for at in range(len(said))
    ]
    received = [item for _, item in bytewise(FrameReader(), b"".join(pieces))]
    assert [item.data for item in received if item.opcode is TEXT] == [said]
    assert [item.opcode for item in received].count(PING) == len(said) // 2


def test_a_text_may_end_with_an_empty_fragment_and_the_next_message_starts_afresh():
    ended = raw(TEXT, "ä".encode(), final=False) + raw(0)
    again = raw(TEXT, "ö".encode()[:1], final=False) + raw(0, "ö".encode()[1:] + b"!")
    assert [item.data.decode() for item in FrameReader().feed(ended + again + raw(BINARY, b"z"))] == ["ä", "ö!", "z"]


def test_binary_messages_need_not_be_text():
    whole, joined = FrameReader().feed(raw(BINARY, b"\xff") + raw(BINARY, b"\xc3", final=False) + raw(0, b"\xff"))
    assert (whole.data, joined.data, joined.opcode) == (b"\xff", b"\xc3\xff", BINARY)


def test_last_of_feed_marks_only_the_message_that_ends_the_read():
    one, two = raw(TEXT, b"a"), raw(TEXT, b"b", final=False) + raw(0, b"b")
    assert [m.last_of_feed for m in FrameReader().feed(one + two)] == [False, True]
    assert [m.last_of_feed for m in FrameReader().feed(one + two[:1])] == [False]
    assert [m.last_of_feed for m in FrameReader().feed(raw(PING) + raw(PONG))] == [False, True]


# --- a close frame is the last word ---------------------------------------------------------------------------------


def test_what_comes_behind_a_close_frame_is_kept_and_not_read():
    behind = raw(TEXT, b"one more thing") + b"\xff\xff"
    reader = FrameReader()
    fine, close = reader.feed(raw(TEXT, b"fine") + closing(1000) + behind)
    assert (fine.data, close, close.rest, close.unfinished) == (b"fine", Close(1000, ""), behind, b"")
    assert reader.feed(behind) == []


def test_a_close_frame_may_come_in_mid_message_and_what_had_come_of_it_is_kept():
    # 5.4: control frames may stand between fragments; 5.5.1: what would have followed must not be sent any more
    cut = raw(TEXT, b"never ", final=False) + raw(PING, b"?") + raw(0, b"whole", final=False) + closing(1001)
    ping, close = FrameReader().feed(cut + b"behind")
    assert (ping.data, close, close.unfinished, close.rest) == (b"?", Close(1001, ""), b"never whole", b"behind")


def test_of_what_a_close_frame_cuts_off_64_kib_are_kept():
    [close] = FrameReader().feed(raw(BINARY, b"a" * 100_000, final=False) + closing(1000) + b"b" * 100_000)
    assert close.unfinished == b"a" * BROKEN_BYTES_MAX
    assert close.rest == b"b" * BROKEN_BYTES_MAX


def test_what_is_not_whole_can_be_had_up_to_64_kib():
    reader = FrameReader()
    assert reader.unfinished() == b""
    reader.feed(raw(BINARY, b"a" * 60_000, final=False) + raw(0, b"b" * 60_000)[:60_000])
    assert reader.unfinished() == (b"a" * 60_000 + raw(0, b"b" * 60_000))[:BROKEN_BYTES_MAX]
    reader.feed(raw(0, b"b" * 60_000)[60_000:])
    assert reader.unfinished() == b""


# --- what is kept of a breach ---------------------------------------------------------------------------------------


def test_of_a_breach_64_kib_are_kept_half_of_it_from_before_the_place():
    begun = raw(BINARY, b"a" * 100_000, final=False)
    [broken] = FrameReader().feed(raw(TEXT, b"fine") * 20_000 + begun + raw(3, b"b" * 100_000))[20_000:]
    assert broken.data == b"a" * HALF + raw(3, b"b" * 100_000)[:HALF]


def test_a_wrong_byte_far_inside_a_text_is_kept_with_what_surrounds_it():
    said = b"a" * 100_000 + b"\xff" + b"b" * 100_000
    [broken] = FrameReader().feed(raw(TEXT, said))
    assert broken.data == b"a" * HALF + b"\xff" + b"b" * (HALF - 1)
    assert broken.reason == "text message is not UTF-8: invalid start byte at byte 100000 (RFC 6455, 8.1)"


@pytest.mark.parametrize("cut", [40_000, 99_999, 100_000, 100_001, 100_002])
def test_a_wrong_byte_in_a_fragmented_text_is_told_and_kept_as_in_a_whole_one(cut):
    said = b"a" * 100_000 + b"\xe2\x82x" + b"b" * 100_000
    [whole] = FrameReader().feed(raw(TEXT, said))
    [joined] = FrameReader().feed(raw(TEXT, said[:cut], final=False) + raw(0, said[cut:]))
    assert (joined, joined.data) == (whole, whole.data)
    assert "at byte 100000 " in whole.reason


# --- memory ---------------------------------------------------------------------------------------------------------

LIMIT = 1000


@pytest.mark.parametrize("before", [(), (400,), (400, 0, 599)], ids=["whole", "two fragments", "four fragments"])
def test_a_message_may_be_as_large_as_allowed_and_one_byte_more_is_refused_by_its_header(before):
    begun = b"".join(raw(0 if number else BINARY, bytes(size), final=False) for number, size in enumerate(before))
    opcode, left = 0 if before else BINARY, LIMIT - sum(before)
    reader = FrameReader(size_max_bytes=LIMIT)
    for _ in range(2):  # the next message has all of the room again
        # control frames are no part of a message: they pass where it has no room left
        pong, message = reader.feed(begun + raw(PONG, bytes(125)) + raw(opcode, bytes(left)))
        assert (pong.opcode, message) == (PONG, Message(BINARY, bytes(LIMIT), True))
    too_large = raw(opcode, bytes(left + 1))
    header = too_large[: -left - 1]
    reader.feed(begun)
    [(fed, broken)] = bytewise(reader, too_large)
    assert (fed, broken.code) == (len(header), 1009)
    assert f"at least {LIMIT + 1} bytes; at most {LIMIT}" in broken.reason


def many(opcode: int, payload: bytes, *, times: int) -> Callable[[], Iterable[bytes]]:
    """Fragments that never end their message."""
    return lambda: (raw(0 if number else opcode, payload, final=False) for number in range(times))


@pytest.mark.parametrize(
    ("feeds", "ends"),
    [
        (many(BINARY, b"", times=30_000), []),
        (many(TEXT, b"", times=30_000), []),
        (many(TEXT, "ä".encode()[:1], times=2), [1007]),
        (many(BINARY, b"xy", times=30_000), [1009]),
        (many(TEXT, "ä".encode(), times=30_000), [1009]),
        (lambda: (bytes([byte]) for byte in struct.pack("!BBQ", 0x82, 127, 1 << 40)), [1009]),
        (lambda: (raw(3) for _ in range(30_000)), [1002]),
        (lambda: (raw(3) if number == 0 else bytes(10_000) for number in range(100)), [1002]),
        (lambda: (closing(1000) if number == 0 else bytes(10_000) for number in range(100)), [1000]),
    ],
    ids=["empty fragments", "empty texts", "open character", "small fragments", "small texts", "trickled header",
         "after a breach", "much after a breach", "much after a close"],
)  # fmt: skip
def test_a_hostile_peer_cannot_fill_memory(feeds, ends):
    limit = 20_000
    held, received = held_bytes(FrameReader(size_max_bytes=limit), feeds())
    assert [item.code for item in received] == ends
    assert held < 10 * limit  # a list of the fragments holds 12 times the limit or more


@pytest.mark.parametrize("size", [7, 5_000])
def test_a_reader_holds_nothing_of_what_it_has_handed_out(size):
    stream = (raw(TEXT, b"a" * 500, final=False) + raw(PING) + raw(0, b"b" * 500)) * 200
    held, received = held_bytes(FrameReader(), (stream[at : at + size] for at in range(0, len(stream), size)))
    assert received == []
    assert held < len(stream) / 5


@pytest.mark.parametrize("end", [closing(1000), raw(3), raw(0, b"\xff")], ids=["close", "header", "text"])
@pytest.mark.parametrize("behind", [b"", bytes(500_000)], ids=["alone", "much behind"])
@pytest.mark.parametrize("begun", [b"", raw(TEXT, b"a" * 500_000, final=False)], ids=["at rest", "in a message"])
def test_a_reader_that_is_over_holds_nothing(begun, end, behind):
    reader, whole = FrameReader(), begun + end + behind
    tracemalloc.start()
    try:
        assert len(reader.feed(whole)) == 1  # it is let go at once
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()


# --- what is sent ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 125, 126, 127, 65_535, 65_536, 200_001])
@pytest.mark.parametrize("opcode", [TEXT, BINARY, CLOSE, PING, PONG])
def test_a_frame_is_what_another_library_makes_of_it(opcode, size):
    payload, key = bytes(n * 7 & 255 for n in range(size)), b"\x01\x00\xfe\x80"
    other = websocket.ABNF.create_frame(payload, opcode)
    other.get_mask_key = lambda _: key
    assert framed(opcode, payload, key) == other.format()
