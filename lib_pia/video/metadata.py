"""The infotext inside a clip, written where the WebUI writes it in pictures of that kind, and read back."""

from __future__ import annotations

import struct

from PIL import Image

UNICODE_COMMENT = b"UNICODE\0"  # EXIF 2.3, UserComment: the next bytes are UTF-16
_EXIF_POINTER, _USER_COMMENT = 0x8769, 0x9286
_LONG, _UNDEFINED = 4, 7


def clean(infotext: str) -> str:
    """The infotext as every format can hold it: newlines as \\n, no NUL, no byte order mark, "?" for halves of
    surrogate pairs."""
    return (
        infotext.replace("\r\n", "\n")
        .replace("\r", "\n")
        .replace("\0", "")
        .lstrip("\ufeff")
        .encode("utf-8", "replace")
        .decode()
    )


def exif_bytes(infotext: str) -> bytes:
    """A big-endian EXIF block with nothing but a Unicode UserComment, as the WebUI (piexif) writes it.

    Pillow's `Exif.tobytes` gives the comment the type BYTE instead of UNDEFINED (9.5 and 10.4), and piexif, by which
    the WebUI reads it, then fails.
    """
    comment = UNICODE_COMMENT + infotext.encode("utf-16-be")
    header = b"MM\0*" + struct.pack(">I", 8)
    first = struct.pack(">HHHIII", 1, _EXIF_POINTER, _LONG, 1, 26, 0)  # 8..26
    second = struct.pack(">HHHIII", 1, _USER_COMMENT, _UNDEFINED, len(comment), 44, 0)  # 26..44
    return header + first + second + comment


def comment_of_picture(image: Image.Image) -> str | None:
    """The EXIF UserComment of a picture, or None."""
    comment = image.getexif().get_ifd(_EXIF_POINTER).get(_USER_COMMENT)
    return None if comment is None else exif_comment(comment)


def exif_comment(value: bytes | str) -> str:
    """The text of an EXIF UserComment, as the WebUI or other programs write it."""
    if isinstance(value, str):
        return value
    body = value[8:]
    if value.startswith(UNICODE_COMMENT):
        if body.startswith((b"\xff\xfe", b"\xfe\xff")):
            return body.decode("utf-16", "replace")
        return body.decode("utf-16-be", "replace")
    if value.startswith(b"ASCII\0\0\0"):
        return body.decode("ascii", "replace")
    return value.decode("utf-8", "replace").strip("\0")


def ffmetadata(infotext: str) -> bytes:
    """An ffmpeg metadata file (ffmpeg-formats, "Metadata") whose comment is the infotext.

    It has no newline at the end, since ffmpeg would join it to a text that ends in a backslash.
    """
    escaped = "".join("\\" + c if c in "=;#\\\n" else c for c in infotext)
    return f";FFMETADATA1\ncomment={escaped}".encode()


def comment_of_ffmetadata(data: bytes) -> str | None:
    """The comment in ffmpeg's metadata output, or None."""
    for entry in _entries(data.decode("utf-8", "replace")):
        if entry[:1] == "[":  # streams and chapters follow
            return None
        key, found, value = _cut(entry)
        if found and key.lower() == "comment":
            return value
    return None


def _entries(text: str) -> list[str]:
    """The lines, where a newline after a backslash belongs to the line; escapes are kept."""
    entries, current, escaped = [], [], False
    for character in text:
        if character == "\n" and not escaped:
            entries.append("".join(current))
            current = []
            continue
        current.append(character)
        escaped = character == "\\" and not escaped
    return [*entries, "".join(current)]


def _cut(entry: str) -> tuple[str, bool, str]:
    """key, whether there was a "=", value; both without their escapes."""
    parts: list[list[str]] = [[], []]
    part, escaped = 0, False
    for character in entry:
        if escaped or character not in "\\=" or (character == "=" and part == 1):
            parts[part].append(character)
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            part = 1
    return "".join(parts[0]), part == 1, "".join(parts[1])
