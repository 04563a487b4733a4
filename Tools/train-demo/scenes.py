"""Scenes: what is in an image, the image itself, and its dense labels, all from one seed.

A scene holds one to three objects sorted from left to right. The held-out split keeps a fixed eighth of all object
pairs and an eighth of all position cells away from training; `split` is "train" or "held".
"""
import functools
import io
import zlib
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from objects import COLOUR_NAMES, COLOURS, EMOJI, SHAPES, class_names, is_shape, sprites

SIZE, PATCH = 224, 28
GRID = SIZE // PATCH
KINDS = ("plain", "gradient", "striped", "checkered", "speckled")
SIZES = {1: (80, 144), 2: (68, 104), 3: (60, 84)}  # side in pixels by number of objects
MIN_DX = 30  # centres differ at least so much from left to right, so that the order is never in doubt
CLASSES = len(EMOJI) + len(SHAPES)
NO_LABEL = -100


@dataclass
class Thing:
    kind: int  # class index, 0-based
    colour: int  # index into COLOUR_NAMES for shapes, else -1
    x: float
    y: float
    side: int
    angle: float

    @property
    def name(self):
        n = class_names()[self.kind]
        return f"{COLOUR_NAMES[self.colour]} {n}" if self.colour >= 0 else n


@dataclass
class Scene:
    seed: int
    things: list = field(default_factory=list)
    colour: int = 0
    kind: int = 0


def pair_is_held(a, b):
    lo, hi = min(a, b), max(a, b)
    return zlib.crc32(f"pair {lo} {hi}".encode()) % 8 == 0


def cell_is_held(x, y):
    return zlib.crc32(f"cell {int(x) // 16} {int(y) // 16}".encode()) % 8 == 0


def _draw_kinds(rng, n, split):
    """Class indices of n objects; all different."""
    while True:
        ks = [int(rng.integers(len(EMOJI))) if rng.random() > 0.15 else len(EMOJI) + int(rng.integers(len(SHAPES))) for _ in range(n)]
        pairs = [(a, b) for i, a in enumerate(ks) for b in ks[:i]]
        if len(set(ks)) < n:
            continue
        held = any(pair_is_held(a, b) for a, b in pairs)
        if n == 1 or held == (split == "held"):
            return ks


def _place(rng, n, split):
    lo, hi = SIZES[n]
    while True:
        spots = []
        for _ in range(n):
            s = int(rng.integers(lo, hi + 1))
            margin = 0.5 * s
            spots.append((rng.uniform(margin, SIZE - margin), rng.uniform(margin, SIZE - margin), s))
        apart = all(
            abs(a[0] - b[0]) >= MIN_DX and np.hypot(a[0] - b[0], a[1] - b[1]) >= 0.5 * (a[2] + b[2])
            for i, a in enumerate(spots) for b in spots[:i]
        )  # fmt: skip
        held = any(cell_is_held(x, y) for x, y, _ in spots)
        if apart and (not held if split == "train" else (held or n > 1)):
            return sorted(spots)


def draw_scene(seed, split="train", count=None):
    rng = np.random.default_rng(seed)
    n = count or int(rng.choice(3, p=(0.2, 0.35, 0.45))) + 1
    scene = Scene(seed, colour=int(rng.integers(len(COLOUR_NAMES))), kind=int(rng.integers(len(KINDS))))
    for k, (x, y, s) in zip(_draw_kinds(rng, n, split), _place(rng, n, split)):
        colour = -1
        if is_shape(k):
            colour = int(rng.choice([c for c in range(len(COLOUR_NAMES)) if c != scene.colour]))
        scene.things.append(Thing(k, colour, x, y, s, float(rng.uniform(-15, 15))))
    return scene


@functools.cache
def shade_bank():
    """256-level shade fields by background kind."""
    rng = np.random.default_rng(1234)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE - 0.5
    bank = {1: [], 2: [], 3: [], 4: []}
    for _ in range(48):
        t = rng.uniform(0, 2 * np.pi)
        u, v = np.cos(t) * x + np.sin(t) * y, np.cos(t) * y - np.sin(t) * x
        bank[1].append(u / 0.7)
        f = rng.uniform(6, 14)
        bank[2].append(np.tanh(6 * np.sin(2 * np.pi * f * u + rng.uniform(0, 6))))
        f = rng.uniform(3, 6)
        bank[3].append(np.tanh(8 * np.sin(2 * np.pi * f * u)) * np.tanh(8 * np.sin(2 * np.pi * f * v)))
        small = rng.normal(0, 110, (SIZE // 4, SIZE // 4)).clip(-127, 127)
        bank[4].append(np.asarray(Image.fromarray((small + 128).astype(np.uint8)).resize((SIZE, SIZE), Image.BICUBIC)) / 127.5 - 1)
    return {k: [np.clip(f * 127.5 + 127.5, 0, 255).astype(np.uint8) for f in fs] for k, fs in bank.items()}


@functools.cache
def noise_bank():
    return np.random.default_rng(99).normal(0, 16, (16, SIZE + 32, SIZE + 32, 3)).round().astype(np.int16)


def _background(rng, scene):
    base = np.array(COLOURS[COLOUR_NAMES[scene.colour]], float) + rng.normal(0, 5, 3)
    if scene.kind == 0:
        return np.broadcast_to(np.clip(base, 0, 255).astype(np.uint8), (SIZE, SIZE, 3))
    depth = rng.uniform(0.5, 1.0) * (base * 0.16 + 8)
    ramp = np.clip(base + np.linspace(-1, 1, 256)[:, None] * depth, 0, 255).astype(np.uint8)
    fields = shade_bank()[scene.kind]
    return ramp[fields[int(rng.integers(len(fields)))]]


def render(scene):
    """The image [224, 224, 3] u8 and the share of each patch that each object covers [n, 8, 8]."""
    rng = np.random.default_rng((scene.seed, 7))
    im = Image.fromarray(np.ascontiguousarray(_background(rng, scene)))
    cover = np.zeros((len(scene.things), GRID, GRID), np.float32)
    for i, t in enumerate(scene.things):
        s = sprites()[t.kind]
        if t.colour >= 0:
            mask = s.resize((t.side, t.side), Image.BILINEAR).rotate(t.angle, Image.BILINEAR, expand=True)
            rgb = np.array(COLOURS[COLOUR_NAMES[t.colour]], float) + rng.normal(0, 5, 3)
            paint = Image.new("RGB", mask.size, tuple(int(v) for v in np.clip(rgb, 0, 255)))
        else:
            paint = s.resize((t.side, t.side), Image.BILINEAR, reducing_gap=2).rotate(t.angle, Image.BILINEAR, expand=True)
            mask = paint.getchannel("A")
        at = (round(t.x - mask.width / 2), round(t.y - mask.height / 2))
        im.paste(paint, at, mask)
        layer = Image.new("L", (SIZE, SIZE))
        layer.paste(mask, at)
        cover[i] = np.asarray(layer.reduce(PATCH), np.float32) / 255
    a = np.asarray(im)
    bank = noise_bank()
    if rng.random() < 0.7:
        dx, dy = rng.integers(0, 32, 2)
        noise = bank[int(rng.integers(len(bank))), dy : dy + SIZE, dx : dx + SIZE]
        a = np.clip(a + ((noise * int(rng.integers(1, 9))) >> 4), 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        buf = io.BytesIO()
        Image.fromarray(a).save(buf, "JPEG", quality=int(rng.integers(45, 92)))
        a = np.asarray(Image.open(buf))
    return a, cover


# Label columns of a patch (and of a region latent): class, colour of the shape, rank from the left, centre column and
# row of the object, background colour, background kind, number of objects, own column and row.
COLUMNS = (CLASSES + 1, len(COLOUR_NAMES) + 1, 4, GRID, GRID, len(COLOUR_NAMES), len(KINDS), 3, GRID, GRID)


def _thing_row(scene, i):
    t = scene.things[i]
    return [t.kind + 1, t.colour + 1, i + 1, min(int(t.x) // PATCH, GRID - 1), min(int(t.y) // PATCH, GRID - 1)]


def labels(scene, cover):
    """Patch labels [64, 10], slot labels [3, 10] (object by rank) and region labels [16, 10]; i16, -100 = no label."""
    nothing = [0, 0, 0, NO_LABEL, NO_LABEL]
    rows = np.array([nothing] + [_thing_row(scene, i) for i in range(len(scene.things))], np.int16)
    scene_row = [scene.colour, scene.kind, len(scene.things) - 1]

    def dense(c, grid, threshold):
        best = c.argmax(0)
        who = np.where(np.take_along_axis(c, best[None], 0)[0] > threshold, best + 1, 0)
        out = np.empty((grid, grid, len(COLUMNS)), np.int16)
        out[..., :5] = rows[who]
        out[..., 5:8] = scene_row
        out[..., 8] = np.arange(grid)[None]
        out[..., 9] = np.arange(grid)[:, None]
        return out.reshape(grid * grid, -1)

    n = len(scene.things)
    slots = np.full((3, len(COLUMNS)), NO_LABEL, np.int16)
    for i in range(3):
        slots[i, :5] = rows[i + 1] if i < n else nothing
        slots[i, 5:8] = scene_row
    coarse = cover.reshape(n, 4, 2, 4, 2).mean((2, 4))
    return dense(cover, GRID, 0.12), slots, dense(coarse, 4, 0.12)


def sample(seed, split="train", count=None):
    scene = draw_scene(seed, split, count)
    image, cover = render(scene)
    return scene, image, labels(scene, cover)
