"""Damage: bytes, texts and JSON made wrong at random, by a seed; a pickle that shows whether it was executed."""

import gzip
import io
import json
import pickle
import random
import struct
import zipfile
import zlib
from functools import cache
from typing import Any

CANARY = "canary"  # the file that code from inside another file would make
HUGE = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
TRICKS = ("../../outside", "/etc/passwd", "a/../../b", "..", "", "\x00", "C:\\x", "~/x", "a\nb", "\u202egnp", "x" * 300)
NUMBERS = (0, -1, 1, 2, 3.5, -0.0, 255, 65536, 2**31, 2**53, 10**12, 10**30, -(10**18), 1e308, 1e-308)


class _Canary:
    def __reduce__(self):
        return exec, (f"open({CANARY!r}, 'w').close()",)


def canary() -> bytes:
    """A pickle that makes a file where it is executed."""
    return pickle.dumps(_Canary())


@cache
def bomb(head: bytes = b"", line: bytes = b"\0") -> bytes:
    """A gzip file of a few megabytes that holds four gigabytes: a head, and one line again and again."""
    member = gzip.compress(line * ((1 << 26) // len(line)), 6)  # decoders read the members as one
    return gzip.compress(head) + member * 64


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../outside.csv", data)
    return buffer.getvalue()


def damaged(data: bytes, rng: random.Random, others: tuple[bytes, ...] = ()) -> tuple[str, bytes]:
    """What was done, and the bytes afterwards; `others`: other files, whose beginnings and ends are mixed in."""
    how = rng.choice((*DAMAGE, "head of another", "spliced") if others else DAMAGE)
    n, out = len(data), bytearray(data)
    a = rng.randrange(n + 1)
    b = min(n, a + rng.choice((1, 4, 16, 64, 256, 1024)))
    match how:
        case "bits flipped":
            for _ in range(rng.choice((1, 1, 2, 8, 64))):
                out[rng.randrange(n)] ^= 1 << rng.randrange(8)
        case "bits flipped in the head":
            for _ in range(rng.choice((1, 2, 4))):
                out[rng.randrange(min(n, 200))] ^= 1 << rng.randrange(8)
        case "cut off":
            del out[a:]
        case "cut off near the end":
            del out[max(0, n - rng.randrange(1, 40)) :]
        case "a piece doubled":
            out[a:a] = out[a:b]
        case "a piece removed":
            del out[a:b]
        case "a piece zeroed":
            out[a:b] = bytes(b - a)
        case "a piece of noise":
            out[a:b] = rng.randbytes(b - a)
        case "a number made huge":
            width = rng.choice((1, 2, 4, 8))
            at = rng.randrange(min(n, 400))
            number = rng.choice(HUGE) & ((1 << (8 * width)) - 1)
            out[at : at + width] = number.to_bytes(width, rng.choice(("little", "big")))
        case "more at the end":
            out += rng.choice((b"\0", rng.randbytes(100), data))
        case "empty":
            out = bytearray(rng.choice((b"", b"\0", b"\n", bytes(4096))))
        case "noise":
            out = bytearray(rng.randbytes(rng.choice((1, 20, 500, 5000))))
        case "a pickle":
            out = bytearray(canary())
        case "head of another":
            cut = rng.choice((2, 4, 8, 16, 32, 128, 348))
            out[:cut] = rng.choice(others)[:cut]
        case "spliced":
            other = rng.choice(others)
            out[a:] = other[rng.randrange(len(other) + 1) :]
    return how, bytes(out)


DAMAGE = (
    *("bits flipped",) * 4,
    *("bits flipped in the head",) * 4,
    *("a number made huge",) * 4,
    *("cut off", "cut off near the end", "a piece doubled", "a piece removed", "a piece zeroed", "a piece of noise")
    * 2,
    *("more at the end", "empty", "noise", "a pickle"),
)


def poison(rng: random.Random) -> Any:
    """A JSON value that nobody expects."""
    deep: Any = 1
    for _ in range(rng.choice((50, 300, 900))):
        deep = [deep] if rng.random() < 0.5 else {"a": deep}
    return rng.choice(
        (
            None, True, "", [], {}, deep, float("nan"), float("inf"), "1", "NaN", [None], {"kind": "own"}, [[]],
            rng.choice(NUMBERS), rng.choice(NUMBERS), rng.choice(NUMBERS), rng.choice(TRICKS), rng.choice(TRICKS),
            {"kind": "own", "module": "os", "name": "system", "options": {"command": f"touch {CANARY}"}},
        )
    )  # fmt: skip


def damaged_json(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """A JSON text whose values are wrong, doubled or gone; sometimes no JSON."""
    if rng.random() < 0.15:
        return damaged(data, rng)
    if rng.random() < 0.05:
        return "deep JSON", rng.choice((b"[", b'{"a":')) * rng.choice((900, 990, 5_000, 100_000))
    table = json.loads(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(table))
        if not places:
            break
        holder, key = rng.choice(places)
        match rng.randrange(5):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[rng.choice((*TRICKS, f"{key} "))] = holder.pop(key)
            case _:
                holder[key] = poison(rng)
    return "JSON values", json.dumps(table).encode("utf-8", "surrogatepass")


def _places(value: Any):
    if isinstance(value, dict | list):
        for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from _places(inner)


# ------------------------------------------------------------------------------------------- pictures, with right sums


def damaged_png(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Chunks doubled, gone, in another order or with wrong bodies, and with checksums that hold."""
    chunks, position = [], 8
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        chunks.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += 12 + length
    at = rng.randrange(len(chunks))
    kind, body = chunks[at]
    how = rng.choice(("bodies", "bodies", "bodies", "size", "doubled", "gone", "order", "strange", "inflates"))
    match how:
        case "bodies":
            chunks[at] = (kind, damaged(body or b"\0", rng)[1])
        case "size":
            sizes = struct.pack(">II", *rng.choices((0, 1, 7, 60_000, 2**31 - 1, 2**32 - 1), k=2))
            rest = bytes((rng.choice((1, 2, 8, 16, 32)), rng.choice((0, 2, 3, 4, 6, 7)), 0, 0, rng.choice((0, 1, 9))))
            chunks[0] = (b"IHDR", sizes + rest)
        case "doubled":
            chunks.insert(at, chunks[at])
        case "gone":
            del chunks[at]
        case "order":
            rng.shuffle(chunks)
        case "strange":
            kind = rng.choice(
                (b"PLTE", b"tRNS", b"gAMA", b"iCCP", b"eXIf", b"iTXt", b"zTXt", b"acTL", b"fcTL", b"cHRM")
            )
            chunks.insert(rng.randrange(1, len(chunks) + 1), (kind, rng.randbytes(rng.choice((0, 1, 3, 26, 500)))))
        case "inflates":
            kind = rng.choice((b"zTXt", b"iCCP", b"iTXt"))
            head = b"XML:com.adobe.xmp\0\1\0\0\0" if kind == b"iTXt" else b"icc\0\0"
            chunks.insert(1, (kind, head + zlib.compress(bytes(1 << 27))))
    out = [len(b).to_bytes(4, "big") + k + b + zlib.crc32(k + b).to_bytes(4, "big") for k, b in chunks]
    return f"PNG chunks: {how}", data[:8] + b"".join(out)


def damaged_jpeg(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Segments doubled, gone, in another order or with wrong bodies."""
    segments, position = [], 2
    while data[position + 1] != 0xDA:
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        segments.append((data[position + 1], data[position + 4 : position + 2 + length]))
        position += 2 + length
    at = rng.randrange(len(segments))
    marker, body = segments[at]
    how = rng.choice(("bodies", "bodies", "bodies", "doubled", "gone", "order", "size"))
    match how:
        case "bodies":
            segments[at] = (marker, damaged(body or b"\0", rng)[1][:65_000])
        case "doubled":
            segments.insert(at, segments[at])
        case "gone":
            del segments[at]
        case "order":
            rng.shuffle(segments)
        case "size":
            size = struct.pack(">HH", *rng.choices((0, 1, 9, 65_535), k=2))
            segments = [(m, b[:1] + size + b[5:] if m in (0xC0, 0xC2) else b) for m, b in segments]
    packed = [bytes((0xFF, m)) + (len(b) + 2).to_bytes(2, "big") + b for m, b in segments]
    return f"JPEG segments: {how}", data[:2] + b"".join(packed) + data[position:]


def damaged_tiff(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Entries of the directory of a little-endian TIFF with other tags, types, counts and values."""
    out = bytearray(data)
    start = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[start : start + 2], "little")
    for _ in range(rng.choice((1, 1, 2, 3))):
        entry = start + 2 + 12 * rng.randrange(count)
        match rng.randrange(5):
            case 0:
                tag = rng.choice((254, 256, 257, 258, 259, 262, 273, 277, 322, 338, 339, 34675, 34665))
                out[entry : entry + 2] = tag.to_bytes(2, "little")
            case 1:
                out[entry + 2 : entry + 4] = rng.randrange(20).to_bytes(2, "little")
            case 2:
                out[entry + 4 : entry + 8] = (rng.choice(HUGE) & 0xFFFFFFFF).to_bytes(4, "little")
            case _:
                value = rng.choice((rng.choice(HUGE) & 0xFFFFFFFF, rng.randrange(len(data)), rng.randrange(70)))
                out[entry + 8 : entry + 12] = value.to_bytes(4, "little")
    if rng.random() < 0.1:  # a directory that comes after itself
        out[start + 2 + 12 * count : start + 6 + 12 * count] = start.to_bytes(4, "little")
    return "TIFF entries", bytes(out)
