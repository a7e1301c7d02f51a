"PNG files of every depth and kind, written as the format says"

import struct
import zlib

import numpy as np


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(path, array, bits=8, colour=0, extra=(), size=None):
    "`colour`: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA; `extra`: chunks before the pixels; `size`: claimed"
    height, width = array.shape[:2]
    if bits < 8:
        per = 8 // bits
        parts = np.pad(array, ((0, 0), (0, -width % per))).reshape(height, -1, per).astype(int)
        rows = (parts << (8 - bits * np.arange(1, per + 1))).sum(-1).astype(np.uint8)
    else:
        rows = array.astype(">u2" if bits == 16 else "u1")
    width, height = size or (width, height)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
    between = b"".join(chunk(kind, data) for kind, data in extra)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + between + pixels + chunk(b"IEND", b""))
    return path


def palette(*colours):
    return (b"PLTE", bytes(np.ravel(colours).astype(np.uint8)))


def labels(levels, shape=(16, 18)):
    "A mask with blocks of `levels` labels"
    block = np.arange(np.prod(shape) // 6).reshape(shape[0] // 2, -1) % levels
    return np.kron(block, np.ones((2, 3), int))
