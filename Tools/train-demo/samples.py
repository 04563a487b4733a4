#!/usr/bin/env python3
"""Write the committed sample images: the first two held-out scenes with one, two and three objects of a seed range of their own.

    samples.py --out DIR

Files are named by what they show. The rule is fixed, so that the samples say how well the model sees and not how well they were chosen.
"""
import argparse
import json
import os

from PIL import Image

import language as L
from make_eval import chat_prompt
from scenes import draw_scene, render

BASE, EACH = 3 * 10**9, 2


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--out", required=True)
    ap.add_argument("--rows", help="also write the samples as a set for `idefix eval exact`")
    a = ap.parse_args()
    os.makedirs(a.out, exist_ok=True)
    rows = []
    for count in (1, 2, 3):
        for i in range(EACH):
            scene = draw_scene(BASE + 100 * count + i, "held", count)
            name = "-".join(t.name.replace(" ", "-") for t in scene.things) + ".png"
            Image.fromarray(render(scene)[0]).save(os.path.join(a.out, name), optimize=True)
            rows.append(dict(id=name, prompt=chat_prompt(os.path.abspath(os.path.join(a.out, name)), "What is in this image?"),
                             answers=[L.listing([t.name for t in scene.things])], match="set", stop=[L.EOU]))  # fmt: skip
            print(name, "|", L.caption(scene))
    if a.rows:
        with open(a.rows, "w", encoding="utf-8") as fh:
            fh.writelines(json.dumps(r) + "\n" for r in rows)


if __name__ == "__main__":
    main()
