#!/usr/bin/env python3
"""Write the committed sample images: held-out scenes, named by what a person sees in them.

    samples.py --out DIR
"""
import argparse
import os

from PIL import Image

from scenes import draw_scene, render

BASE = 3 * 10**9
SEEDS = ((1, BASE + 4), (2, BASE + 102), (2, BASE + 103), (3, BASE + 203), (3, BASE + 205), (3, BASE + 306))  # (objects, seed)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--out", required=True)
    a = ap.parse_args()
    os.makedirs(a.out, exist_ok=True)
    for count, seed in SEEDS:
        scene = draw_scene(seed, "held", count)
        name = "-".join(t.name.replace(" ", "-") for t in scene.things)
        Image.fromarray(render(scene)[0]).save(os.path.join(a.out, name + ".png"), optimize=True)
        print(name, scene)


if __name__ == "__main__":
    main()
