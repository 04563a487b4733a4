#!/usr/bin/env python3
"""Write the held-out evaluation sets: one JSONL file per task and the images as PNG.

    make_eval.py --out DIR [--count 400] [--set validation]

A row is {"id", "task", "prompt": [{"text"} | {"image": path relative to the file} …], "answers": […], "match", "stop",
"phrasing"}. match: "set" compares the sets of named objects, "short" compares after lower-casing and dropping articles
and a final full stop, "line" wants the first line exactly. stop: generation ends at any of these strings.
Every scene has a pair of objects (or for single objects a position) that training never sees; "phrasing" says
whether the question's wording is one that training uses ("seen") or not ("held").
"""
import argparse
import json
import os
import random

from PIL import Image

import language as L
from scenes import draw_scene, render

FIRST_SEED = {"test": 2 * 10**9, "validation": 15 * 10**8}  # decisions while training look at the validation set only
SINGLE = {"name": ("what", 1), "pair": ("what", 2), "triple": ("what", 3), "background": ("background", 0), "side": ("side", 0),
          "there": ("there", 0), "count": ("count", 0), "where": ("where", 0), "caption": ("caption", 0)}  # fmt: skip
MATCH = {"name": "set", "pair": "set", "triple": "set"}


def chat_prompt(image, question):
    return [{"text": "User:"}, {"image": image}, {"text": f"{question}{L.EOU}\nAssistant:"}]


def merged(items):
    """Neighbouring texts joined, as the processor would otherwise put an end-of-utterance token between them."""
    out = []
    for it in items:
        if "text" in it and out and "text" in out[-1]:
            out[-1] = {"text": out[-1]["text"] + it["text"]}
        else:
            out.append(dict(it))
    return out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--out", required=True)
    ap.add_argument("--count", type=int, default=400)
    ap.add_argument("--set", choices=FIRST_SEED, default="test")
    a = ap.parse_args()
    os.makedirs(os.path.join(a.out, "images"), exist_ok=True)
    pool, rng = {1: [], 2: [], 3: []}, random.Random(17 if a.set == "test" else 18)
    for n in pool:
        for i in range(a.count):
            s = draw_scene(FIRST_SEED[a.set] + n * 10**6 + i, "held", n)
            path = f"images/{n}-{i:04d}.png"
            Image.fromarray(render(s)[0]).save(os.path.join(a.out, path))
            pool[n].append((path, s))
    everything = [x for n in pool for x in pool[n]]
    for task, (kind, n) in SINGLE.items():
        several = pool[2] + pool[3]
        source = pool[n] if n else rng.sample(several if kind == "side" else everything, a.count)
        with open(os.path.join(a.out, task + ".jsonl"), "w", encoding="utf-8") as fh:
            for i, (path, scene) in enumerate(source):
                split = "held" if i % 2 else "train"
                q, answer = L.question(rng, scene, kind, split)
                row = dict(id=f"{task}-{i:04d}", task=task, prompt=chat_prompt(path, q), answers=[answer], match=MATCH.get(task, "short"),
                           stop=[L.EOU], phrasing="held" if i % 2 else "seen")  # fmt: skip
                fh.write(json.dumps(row, ensure_ascii=False) + "\n")
    with open(os.path.join(a.out, "fewshot.jsonl"), "w", encoding="utf-8") as fh:
        for i in range(a.count):
            split = "held" if i % 2 else "train"
            picks = rng.sample(pool[1], rng.choice((3, 4)))
            example, fmt = L.few_shot(rng, [s for _, s in picks], range(len(picks)), split)
            items = merged([it for part, _ in example.parts[:-1] for it in part])
            items = [{"image": picks[it["image"]][0]} if "image" in it else it for it in items]
            answer = L.fill(fmt, picks[-1][1])
            row = dict(id=f"fewshot-{i:04d}", task="fewshot", prompt=items, answers=[answer], format=fmt, match="line", stop=["\n"],
                       phrasing="held" if i % 2 else "seen")  # fmt: skip
            fh.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
