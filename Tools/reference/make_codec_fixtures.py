#!/usr/bin/env python3
"""Writes the pictures of Tests/Fixtures/codecs and what each must decode to.

    python3 make_codec_fixtures.py --out ../../Tests/Fixtures/codecs

Needs numpy and Pillow 11 (any version before 13 resizes alike; 11.3.0 wrote the committed files).
Every picture is drawn here. expected.json has, for each file, the size and the FNV-1a 64 hashes of

    rgb          [height, width, 3] u8: RGB as Pillow decodes it; other modes over white
    resized      [224, 224, 3] u8: BICUBIC
    resized30    [30, 30, 3] u8: BICUBIC
    pixelValues  [3, 224, 224] f32, little-endian: what the IDEFICS image processor makes of it

and the first pixels of rgb as plain numbers. Pixels are what Pillow reads back from the file, so
that lossy formats are held to the decoder and not to the drawing.
"""
import argparse
import io
import json
import os
import struct
import zlib

import numpy as np
from PIL import Image

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def fnv1a(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def scene(w, h, seed, channels=3):
    """Waves and discs with a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    a = np.zeros((h, w, channels))
    for c in range(channels):
        fx, fy, phase = rng.uniform(0.5, 6, 3)
        a[..., c] = 127.5 + 120 * np.sin(2 * np.pi * (fx * x / w + fy * y / h) + phase)
    for _ in range(6):
        cx, cy, r = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0.05, 0.25) * min(w, h)
        a[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = rng.uniform(0, 255, channels)
    return np.clip(np.rint(a + rng.normal(0, 6, a.shape)), 0, 255).astype(np.uint8)


def alpha_ramp(w, h):
    y, x = np.mgrid[0:h, 0:w]
    return ((x * 255 // max(w - 1, 1) + y * 3) % 256).astype(np.uint8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples, depth, color, interlaced=False, extra=b""):
    """A PNG of the colour types and depths that Pillow does not write; samples [h, w, channels]."""
    h, w, _ = samples.shape
    raw = b""
    for x0, y0, dx, dy in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        part = samples[y0::dy, x0::dx]
        if 0 in part.shape:
            continue
        for row in part.reshape(part.shape[0], -1):
            if depth == 16:
                packed = row.astype(">u2").tobytes()
            else:
                bits = np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - depth :]
                packed = np.packbits(bits.ravel()).tobytes()
            raw += b"\0" + packed
    header = struct.pack(">IIBBBBB", w, h, depth, color, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra
            + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))  # fmt: skip


def draw(out):
    f = lambda name: os.path.join(out, name)
    rgb = lambda w, h, seed: Image.fromarray(scene(w, h, seed))

    # PNG: every mode Pillow writes, and sizes that trip decoders and filters.
    for w, h, seed in [(1, 1, 1), (1, 9, 2), (9, 1, 3), (2, 2, 6), (7, 5, 5), (11, 3, 7), (90, 41, 8)]:
        rgb(w, h, seed).save(f(f"rgb_{w}x{h}.png"))
    Image.fromarray(scene(60, 40, 12)[..., 0]).save(f("gray_l.png"))
    Image.fromarray(np.dstack([scene(45, 60, 14)[..., 0], alpha_ramp(45, 60)])).save(f("la.png"))
    Image.fromarray(np.dstack([scene(60, 45, 13), alpha_ramp(60, 45)])).save(f("rgba.png"))
    v, a = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    Image.fromarray(np.dstack([v, v, v, a])).save(f("alpha_pairs.png"))  # row: alpha, column: value
    palette = rgb(64, 48, 15).quantize(32)
    palette.save(f("palette.png"))
    palette.save(f("palette_transparency.png"), transparency=bytes((i * 8) % 256 for i in range(32)))
    Image.fromarray(scene(64, 64, 16)[..., 0] > 128).convert("1").save(f("bilevel.png"))

    # PNG: 16 bits, low depths, tRNS keys, Adam7.
    rng = np.random.default_rng(20)
    wide = lambda channels: np.where(rng.random((9, 13, channels)) < 0.5, rng.integers(0, 256, (9, 13, channels)),
                                     rng.integers(0, 65536, (9, 13, channels)))  # fmt: skip
    key = lambda *values: chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))
    files = {
        "gray16.png": png(wide(1), 16, 0),
        "gray16_key.png": png(wide(1) % 8, 16, 0, extra=key(5)),
        "rgb16.png": png(wide(3), 16, 2),
        "la16.png": png(wide(2), 16, 4),
        "rgba16_interlaced.png": png(wide(4), 16, 6, True),
        "gray2_key.png": png(rng.integers(0, 4, (5, 7, 1)), 2, 0, extra=key(0)),
        "gray4_interlaced.png": png(rng.integers(0, 16, (10, 11, 1)), 4, 0, True),
        "bilevel_key.png": png(rng.integers(0, 2, (5, 9, 1)), 1, 0, extra=key(0)),
        "gray_key.png": png(rng.integers(0, 4, (5, 7, 1)), 8, 0, extra=key(2)),
        "rgb_key.png": png(rng.integers(0, 2, (5, 7, 3)), 8, 2, extra=key(0, 1, 0)),
        "rgb_interlaced.png": png(scene(21, 18, 21), 8, 2, True),
        "palette4_interlaced.png": png(
            rng.integers(0, 12, (9, 10, 1)), 4, 3, True,
            chunk(b"PLTE", rng.integers(0, 256, 36).astype(np.uint8).tobytes()) + chunk(b"tRNS", bytes([0, 128, 9]))),
    }  # fmt: skip
    for name, data in files.items():
        with open(f(name), "wb") as file:
            file.write(data)

    # JPEG: sampling factors, progressive, grey, four channels.
    rgb(75, 50, 8).save(f("q90_444.jpg"), quality=90, subsampling=0)
    rgb(51, 67, 9).save(f("q75_420.jpg"), quality=75, subsampling=2)
    rgb(53, 39, 9).save(f("q75_422.jpg"), quality=75, subsampling=1)
    rgb(60, 45, 10).save(f("progressive.jpg"), quality=80, progressive=True)
    rgb(7, 5, 10).save(f("progressive_7x5.jpg"), quality=80, progressive=True)
    Image.fromarray(scene(60, 45, 11)[..., 0]).save(f("gray.jpg"), quality=85)
    Image.fromarray(scene(40, 30, 22, 4), "CMYK").save(f("cmyk.jpg"), quality=85)
    ycck = io.BytesIO()
    Image.fromarray(scene(40, 30, 23, 4), "CMYK").save(ycck, "JPEG", quality=85)
    data = bytearray(ycck.getvalue())
    data[data.index(b"Adobe") + 11] = 2  # the same channels, declared YCCK
    with open(f("ycck.jpg"), "wb") as file:
        file.write(data)
    with_exif = Image.Exif()
    with_exif[0x0112] = 6  # a quarter turn, which is not applied
    rgb(24, 16, 24).save(f("orientation.jpg"), quality=85, exif=with_exif)

    # WebP and GIF: with and without alpha, animated.
    rgb(48, 32, 17).save(f("lossless.webp"), lossless=True)
    rgb(64, 47, 25).save(f("lossy.webp"), quality=60)
    rgba = lambda w, h, seed: Image.fromarray(np.dstack([scene(w, h, seed), alpha_ramp(w, h)]))
    rgba(48, 33, 26).save(f("lossy_alpha.webp"), quality=60)
    rgba(20, 15, 27).save(f("lossless_alpha.webp"), lossless=True, exact=True)
    rgba(20, 15, 28).save(f("animated.webp"), save_all=True, append_images=[rgba(20, 15, 29)], duration=50)
    small = rgb(64, 48, 15).quantize(16)
    small.save(f("palette.gif"), transparency=3)
    small.save(f("interlaced.gif"), interlace=1)
    frames = [rgb(16, 12, seed).quantize(8) for seed in (30, 31, 32)]
    frames[0].save(f("animated.gif"), save_all=True, append_images=frames[1:], duration=20)
    tiny = io.BytesIO()
    rgb(10, 8, 33).quantize(8).save(tiny, "GIF")
    data = bytearray(tiny.getvalue())
    at = data.index(b",\0\0\0\0")
    data[6:10] = struct.pack("<HH", 14, 13)  # a larger screen, the frame inside it
    data[at + 1 : at + 5] = struct.pack("<HH", 3, 2)
    with open(f("offset.gif"), "wb") as file:
        file.write(data)


def to_rgb(image):
    if image.mode == "RGB":
        return image
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba).convert("RGB")


def expectation(path):
    image = to_rgb(Image.open(path))
    pixels = np.array(image)
    resized = np.array(image.resize((224, 224), Image.BICUBIC))
    rescaled = (resized.astype(np.float64) * (1 / 255)).astype(np.float32)
    values = ((rescaled - MEAN) / STD).transpose(2, 0, 1)
    return {
        "width": image.width,
        "height": image.height,
        "rgb": fnv1a(pixels.tobytes()),
        "resized": fnv1a(resized.tobytes()),
        "resized30": fnv1a(image.resize((30, 30), Image.BICUBIC).tobytes()),
        "pixelValues": fnv1a(values.astype("<f4").tobytes()),
        "firstPixels": pixels.reshape(-1)[:12].tolist(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    out = parser.parse_args().out
    os.makedirs(out, exist_ok=True)
    draw(out)
    names = sorted(n for n in os.listdir(out) if n.rsplit(".", 1)[-1] in ("jpg", "png", "webp", "gif"))
    expected = {name: expectation(os.path.join(out, name)) for name in names}
    with open(os.path.join(out, "expected.json"), "w") as file:
        json.dump(expected, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
