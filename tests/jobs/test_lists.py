"""Lists: whatever wrote them, to the byte, and from a stream as they come."""

from __future__ import annotations

import codecs
import io
import os
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staa_cli.errors import UsageError
from staa_cli.jobs.lists import read_list, stream_list


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


NAMES = ["a.mp4", "動 [x].mp4", " .mp4 ", "é/b.mp4"]


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("last", [True, False], ids=["ended", "open"])
@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "BE with a mark"],
)
def test_a_list_is_read_whatever_wrote_it(here: Path, encoding: str, end: str, last: bool) -> None:
    text = end.join(NAMES) + end * last
    if encoding == "BE with a mark":
        text, encoding = "\ufeff" + text, "utf-16-be"
    Path("list").write_bytes(text.encode(encoding))
    assert read_list("list") == NAMES


def test_one_name_in_utf_16_without_mark_or_line_end(here: Path) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        Path("list").write_bytes("in/a.mp4".encode(encoding))
        assert read_list("list") == ["in/a.mp4"]


@pytest.mark.parametrize(
    "names",
    [
        [b"./a.mp4", b"./b.mp4"],
        [b"a\nb.mp4", b" ", b"x\r"],
        [b"abcd\n", b"e.mp4"],  # as UTF-16 it would be text as well
        ["動.mp4".encode(), b"\xff\xfe.mp4", b"m"],
        [b"\xff\xff.mp4", b"ab"],
        [b"a", b"bc"],
    ],
    ids=ascii,
)
def test_names_between_nul_bytes_are_taken_to_the_byte(here: Path, names: list[bytes]) -> None:
    for data in (b"\0".join(names), b"\0".join(names) + b"\0", b"\0\0".join(names)):
        Path("list").write_bytes(data)
        assert read_list("list") == [os.fsdecode(name) for name in names]


def test_lines_are_taken_to_the_byte(here: Path) -> None:
    Path("list").write_bytes(b"a.mp4\n\n  \n b c.mp4 \r\n\xff.mp4\nx\x0b\x85y\rz.mp4\n")
    names = [b"a.mp4", b" b c.mp4 ", b"\xff.mp4", b"x\x0b\x85y\rz.mp4"]
    assert read_list("list") == [os.fsdecode(name) for name in names]
    Path("list").write_bytes(b"\xff\xfe.mp4\n")  # begins as a mark does
    assert read_list("list") == [os.fsdecode(b"\xff\xfe.mp4")]


def test_a_list_that_breaks_off_within_a_character_is_a_usage_error(here: Path) -> None:
    Path("list").write_bytes("a.mp4".encode("utf-16")[:-1])
    with pytest.raises(UsageError, match="byte-order mark"):
        read_list("list")


def test_a_missing_list_is_a_usage_error(here: Path) -> None:
    with pytest.raises(UsageError, match="--from-file nowhere"):
        read_list("nowhere")


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF32_BE])
def test_a_list_that_is_a_byte_order_mark_alone_is_empty(tmp_path: Path, mark: bytes) -> None:
    (tmp_path / "list").write_bytes(mark)
    assert read_list(str(tmp_path / "list")) == []


class Pieces(io.RawIOBase):
    """A stream that hands out what it holds in pieces of its own choice."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        piece = self._pieces.pop(0) if self._pieces else b""
        buffer[: len(piece)] = piece
        return len(piece)


def stream(*pieces: bytes) -> BinaryIO:
    return io.BufferedReader(Pieces(*pieces), 1 << 20)  # type: ignore[type-var]


def test_a_name_is_told_as_soon_as_it_has_ended() -> None:
    for end in (b"\n", b"\r\n", b"\0"):
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb") as coming, os.fdopen(writer, "wb", buffering=0) as going:
            names = stream_list(coming)
            for name in ("a.mp4", "b c.mp4", "d.mp4"):
                going.write(name.encode() + end)
                assert next(names) == name  # or it would wait here for what is not written yet
            going.write(b"e.mp4")
            going.close()
            assert list(names) == ["e.mp4"]


names_in_lines = st.binary(min_size=1, max_size=6).filter(
    lambda name: name.strip() and not {10, 0} & set(name) and not name.endswith(b"\r")
)
names_between_nuls = st.binary(min_size=1, max_size=6).filter(lambda name: 0 not in name)


@given(st.data(), st.booleans())
def test_a_stream_is_read_as_a_file_is(data: st.DataObject, lines: bool) -> None:
    end, kind = (b"\n", names_in_lines) if lines else (b"\0", names_between_nuls)
    names = data.draw(st.lists(kind, min_size=1, max_size=5))
    names[0] = b"./" + names[0]  # which begins as no mark does
    text = end.join(names) + end * (len(names) == 1 or data.draw(st.booleans()))
    first = len(names[0]) + 1  # a name with a line feed in it comes whole, with its end
    cuts = sorted(data.draw(st.sets(st.integers(first, max(first, len(text))), max_size=4)))
    pieces = [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True) if i < j]
    assert [os.fsencode(name) for name in stream_list(stream(*pieces))] == names


def test_pieces_may_end_anywhere() -> None:
    pieces = (b"\xef\xbb\xbfa", b".m", b"p4\r", b"\n", b" \n\nb", b".mp4")
    assert list(stream_list(stream(*pieces))) == ["a.mp4", "b.mp4"]
    assert list(stream_list(stream(b"a\nb\0", b"c\nd", b"\0"))) == ["a\nb", "c\nd"]
    assert list(stream_list(stream(b"a\n", b"b\0c\n"))) == ["a", "b", "c"]  # no name holds a NUL
    assert list(stream_list(stream())) == []


def test_a_stream_in_utf_16_is_told_to_be_one() -> None:
    for encoding in ("utf-16", "utf-16-be"):
        data = "\ufeff" * (encoding == "utf-16-be") + "a.mp4\n"
        with pytest.raises(UsageError, match="UTF-16"):
            list(stream_list(stream(data.encode(encoding))))
    assert list(stream_list(stream(b"\xff\xfe.mp4\n"))) == [os.fsdecode(b"\xff\xfe.mp4")]
