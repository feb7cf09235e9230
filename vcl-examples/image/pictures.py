#!/usr/bin/env python3
"""Pictures for the test of this example, and a look at what became of them.

usage: pictures.py make DIRECTORY
       pictures.py look FILE WIDTH HEIGHT X,Y=COLOUR...

The colours that look knows are red, blue and clear. FILE is WebP or AVIF.
"""

import base64
import os
import random
import struct
import subprocess
import sys
import zlib

# 128 x 64 pixels: the upper left quarter is red, the rest blue. The camera notes that it was
# held upright: it is to be shown turned to the right (EXIF, orientation 6).
PHOTO = """
/9j/4QAiRXhpZgAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAD/2wBDABQODxIPDRQSEBIXFRQYHjIhHhwcHj0s
LiQySUBMS0dARkVQWnNiUFVtVkVGZIhlbXd7gYKBTmCNl4x9lnN+gXz/2wBDARUXFx4aHjshITt8U0ZTfHx8fHx8
fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHz/wAARCABAAIADASIAAhEBAxEB/8QA
FQABAQAAAAAAAAAAAAAAAAAAAAX/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/8QAFwEBAQEBAAAAAAAAAAAAAAAAAAYH
Bf/EABQRAQAAAAAAAAAAAAAAAAAAAAD/2gAMAwEAAhEDEQA/AJQDnrAAAAAABMAaAhwAAAAAFMBn64AAAAAATAGg
IcAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB/9k=
"""
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def photo():
    data = base64.b64decode(PHOTO)
    # A comment, to have something to save.
    return data[:2] + b"\xff\xfe\x20\x02" + bytes(0x2000) + data[2:]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, alpha, pixel, *more):
    lines = (b"\0" + b"".join(pixel(x, y) for x in range(width)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 6 if alpha else 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"".join(lines), 1))
    return b"".join([SIGNATURE, chunk(b"IHDR", header), *more, body, chunk(b"IEND", b"")])


def grain(x, y):
    """Left red and right blue, as a bad film shows it."""
    noise = random.randrange(60)
    return bytes([255 - noise, noise, noise] if x < 100 else [noise, noise, 255 - noise])


def hole(x, y):
    return grain(x, y) + (b"\0" if y < 50 else b"\xff")


def make(directory):
    random.seed(1)
    drawing = png(200, 100, False, grain)
    pictures = {
        "photo.jpg": photo(),
        "drawing.png": drawing,
        "hole.png": png(200, 100, True, hole),
        "moving.png": png(200, 100, False, grain, chunk(b"acTL", struct.pack(">II", 1, 0))),
        "broken.png": drawing[: len(drawing) // 2],
        "broken.jpg": photo()[:-60],
        "tiny.png": png(1, 1, False, grain),
    }
    for name, data in pictures.items():
        with open(os.path.join(directory, name), "wb") as file:
            file.write(data)


def predicted(kind, left, up, corner):
    """What a PNG takes a byte to be, by its neighbours."""
    if kind == 4:
        guess = left + up - corner
        return min(left, up, corner, key=lambda value: abs(guess - value))
    return (0, left, up, (left + up) // 2)[kind]


def pixels(data):
    """Width, height, and lines of pixels of a PNG with 8 bits of three or four colours."""
    parts, at = b"", len(SIGNATURE)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IHDR":
            width, height, _, colours = struct.unpack_from(">IIBB", data, at + 8)
        elif kind == b"IDAT":
            parts += data[at + 8 : at + 8 + length]
        at += 12 + length
    size = {2: 3, 6: 4}[colours]
    raw, lines, above = zlib.decompress(parts), [], bytearray(width * size)
    for start in range(0, len(raw), width * size + 1):
        line = bytearray(raw[start + 1 : start + 1 + width * size])
        for i in range(len(line)):
            left, corner = (line[i - size], above[i - size]) if i >= size else (0, 0)
            line[i] = (line[i] + predicted(raw[start], left, above[i], corner)) & 255
        lines.append([line[i : i + size] for i in range(0, len(line), size)])
        above = line
    return width, height, lines


def colour(pixel):
    red, _, blue, *alpha = pixel
    if alpha and alpha[0] < 50:
        return "clear"
    return "red" if red > 150 > blue else "blue" if blue > 150 > red else str(bytes(pixel))


def look(path, width, height, *points):
    with open(path, "rb") as file:
        is_webp = file.read(4) == b"RIFF"
    out = path + ".png"
    tool = ["dwebp", "-quiet", path, "-o", out] if is_webp else ["avifdec", path, out]
    subprocess.run(tool, check=True, stdout=subprocess.DEVNULL)
    with open(out, "rb") as file:
        found_width, found_height, lines = pixels(file.read())
    if (found_width, found_height) != (int(width), int(height)):
        sys.exit(f"{path}: {found_width} x {found_height} pixels")
    for point in points:
        place, want = point.split("=")
        x, y = map(int, place.split(","))
        if colour(lines[y][x]) != want:
            sys.exit(f"{path}: {x},{y} is {colour(lines[y][x])}, not {want}")


{"make": make, "look": look}[sys.argv[1]](*sys.argv[2:])
