"""GIF, WebP and APNG containers, put together by hand so that every frame keeps its own exact time.

Pillow and libwebp merge equal neighbours and add up their times, ffmpeg writes no GIF comment and rounds delays its own
way; here a clip of F frames has F frames in the file, whatever is on them.
Sources: GIF89a specification; WebP container specification (developers.google.com/speed/webp); PNG specification, third
edition (APNG).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lib_pia.errors import HostError

from .frames import changed_box, whole_delays
from .metadata import exif_bytes

GIF_TICKS, WEBP_TICKS = 100, 1000  # GIF delays are hundredths, WebP's thousandths of a second
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def sub_blocks(data: bytes) -> bytes:
    """`data` as GIF sub-blocks of at most 255 bytes, with the terminator."""
    pieces = [data[i : i + 255] for i in range(0, len(data), 255)]
    return b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"


def finish_gif(data: bytes, delays: list[int], plays: int, comment: str) -> bytes:
    """A GIF with the given delays (hundredths of a second, one per frame), number of plays (0 = for ever) and comment.

    NETSCAPE's loop extension counts repetitions, so n plays are n - 1 repetitions, and one play is no extension at all.
    """
    head, blocks = _gif_blocks(data)
    out = [b"GIF89a", head[6:]]
    if plays != 1:
        out.append(b"\x21\xff\x0bNETSCAPE2.0" + sub_blocks(struct.pack("<BH", 1, max(plays - 1, 0))))
    if comment:
        out.append(b"\x21\xfe" + sub_blocks(comment.encode()))
    images = 0
    for kind, block in blocks:
        if kind == "control" and images < len(delays):
            block = block[:4] + struct.pack("<H", delays[images]) + block[6:]
        images += kind == "image"
        out.append(block if kind in ("control", "image") else b"")
    if images != len(delays):
        raise HostError(f"ffmpeg wrote {images} frames into the GIF instead of {len(delays)}; choose another format.")
    return b"".join([*out, b"\x3b"])


def _gif_blocks(data: bytes) -> tuple[bytes, Iterator[tuple[str, bytes]]]:
    """Header with the global colour table, and the blocks after it as ("control" | "image" | "other", bytes)."""
    start = 13 + _table_bytes(data[10])
    return data[:start], _blocks_from(data, start)


def _blocks_from(data: bytes, at: int) -> Iterator[tuple[str, bytes]]:
    while data[at] != 0x3B:
        start = at
        if data[at] == 0x21:
            kind = "control" if data[at + 1] == 0xF9 else "other"
            at = _after_sub_blocks(data, at + 2)
        else:
            kind = "image"
            at = _after_sub_blocks(data, at + 10 + _table_bytes(data[at + 9]) + 1)
        yield kind, data[start:at]


def _table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_sub_blocks(data: bytes, at: int) -> int:
    while data[at]:
        at += data[at] + 1
    return at + 1


def _riff_chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        size = struct.unpack_from("<I", data, at + 4)[0]
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _u24(*values: int) -> bytes:
    return b"".join(struct.pack("<I", value)[:3] for value in values)


def webp(frames: np.ndarray, fps: Fraction, plays: int, infotext: str, **quality: Any) -> bytes:
    """An animated WebP of [F, H, W, 3] uint8; only the rectangle that changed is stored. `quality`: Pillow's options
    for WebP."""
    height, width = frames.shape[1:3]
    exif = exif_bytes(infotext) if infotext else b""
    flags = 0x02 | (0x08 if exif else 0)  # animation, EXIF
    chunks = [
        _riff_chunk(b"VP8X", struct.pack("<I", flags) + _u24(width - 1, height - 1)),
        _riff_chunk(b"ANIM", b"\0\0\0\0" + struct.pack("<H", plays)),
    ]
    before = None
    for frame, delay in zip(frames, whole_delays(len(frames), fps, WEBP_TICKS)):
        left, top, right, bottom = changed_box(before, frame, step=2)
        picture = io.BytesIO()
        Image.fromarray(frame[top:bottom, left:right]).save(picture, "WEBP", **quality)
        bitstream = next(
            _riff_chunk(name, body) for name, body in _riff_chunks(picture.getvalue()) if name in (b"VP8 ", b"VP8L")
        )
        place = _u24(left // 2, top // 2, right - left - 1, bottom - top - 1, delay) + b"\x02"  # replace, do not blend
        chunks.append(_riff_chunk(b"ANMF", place + bitstream))
        before = frame
    if exif:
        chunks.append(_riff_chunk(b"EXIF", exif))
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def png_text(infotext: str) -> PngInfo | None:
    """The infotext under "parameters", as the WebUI writes it."""
    if not infotext:
        return None
    text = PngInfo()
    text.add_text("parameters", infotext)
    return text


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(PNG_SIGNATURE)
    while at < len(data):
        size = struct.unpack_from(">I", data, at)[0]
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += 12 + size


def apng(frames: np.ndarray, fps: Fraction, plays: int, infotext: str, compress_level: int) -> bytes:
    """An animated PNG of [F, H, W, 3] uint8, lossless; only the rectangle that changed is stored. Delays are exact
    fractions."""
    out, end, sequence, before = [PNG_SIGNATURE], b"", 0, None
    for index, frame in enumerate(frames):
        left, top, right, bottom = changed_box(before, frame)
        picture = io.BytesIO()
        Image.fromarray(frame[top:bottom, left:right]).save(
            picture, "PNG", compress_level=compress_level, pnginfo=png_text(infotext) if index == 0 else None
        )
        chunks = list(_png_chunks(picture.getvalue()))
        if index == 0:
            first = [name for name, _ in chunks].index(b"IDAT")
            out += [_png_chunk(*chunk) for chunk in chunks[:first]]
            out.append(_png_chunk(b"acTL", struct.pack(">II", len(frames), plays)))
            end = _png_chunk(b"IEND", b"")
        out.append(
            _png_chunk(
                b"fcTL",
                struct.pack(
                    ">IIIIIHHBB", sequence, right - left, bottom - top, left, top, fps.denominator, fps.numerator, 0, 0
                ),
            )
        )  # leave it there; replace
        sequence += 1
        for body in (body for name, body in chunks if name == b"IDAT"):
            out.append(
                _png_chunk(b"IDAT", body) if index == 0 else _png_chunk(b"fdAT", struct.pack(">I", sequence) + body)
            )
            sequence += index > 0
        before = frame
    return b"".join([*out, end])
