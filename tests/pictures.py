"""Pictures that the tests of reading, writing and refusing share."""

import io
import struct
import zlib

import numpy as np

H, W = 13, 19  # odd and unequal: a swapped axis or a missed interlace pass shows


def noise(channels, depth=8, seed=0):
    samples = np.random.default_rng(seed).integers(0, 2**depth, (H, W, channels))
    return samples.astype(np.uint16 if depth > 8 else np.uint8)


def leftovers(folder, *expected):
    return sorted({entry.name for entry in folder.iterdir()} - set(expected))


def raw_png(width, height, depth, colour_type, data=b"", end=True):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data)) + (chunk(b"IEND", b"") if end else b"")


def paeth_png(samples):
    """A 16-bit PNG whose rows use filter 4: the one filter that needs left, up and both."""
    row = samples.astype(">u2").reshape(H, -1).view(np.uint8).astype(int)
    step = 2 * samples.shape[-1]
    left = np.pad(row, ((0, 0), (step, 0)))[:, :-step]
    up = np.pad(row, ((1, 0), (0, 0)))[:-1]
    corner = np.pad(up, ((0, 0), (step, 0)))[:, :-step]
    guess = left + up - corner
    a, b, c = abs(guess - left), abs(guess - up), abs(guess - corner)
    filtered = (row - np.where((a <= b) & (a <= c), left, np.where(b <= c, up, corner))) % 256
    return np.pad(filtered, ((0, 0), (1, 0)), constant_values=4).astype(np.uint8).tobytes()


def saved(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()
