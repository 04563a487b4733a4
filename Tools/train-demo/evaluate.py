#!/usr/bin/env python3
"""Greedy answers of a checkpoint folder to the held-out sets, and the share that is right.

    evaluate.py --checkpoint DIR --data DIR [--limit N] [--out results.json] [--dtype float32]
"""
import argparse
import json
import os
import re

import torch
from PIL import Image
from transformers import IdeficsForVisionText2Text, IdeficsImageProcessor, LlamaTokenizerFast

import language as L
from rows import IMAGE_ID, Row, collate

SEPARATORS = re.compile(r"\s*(?:,|\band\b)\s*")


def short(s):
    s = s.strip().lower().rstrip(".")
    return re.sub(r"^(an?|the)\s+", "", s)


def names(s):
    return sorted(short(x) for x in SEPARATORS.split(s.strip().rstrip(".")) if x)


def is_right(row, text):
    if row["match"] == "set":
        return any(names(text) == names(w) for w in row["answers"])
    if row["match"] == "line":
        return any(text.strip("\n").split("\n")[0].strip() == w for w in row["answers"])
    return any(short(text) == short(w) for w in row["answers"])


def follows_format(row, text):
    """The answer has the form of the examples, whatever it says."""
    pattern = re.escape(row["format"])
    for field, words in (("n", r"[\w ]+"), ("a", r"[\w ]+"), ("c", r"\w+")):
        pattern = pattern.replace(re.escape("{" + field + "}"), words)
    return re.fullmatch(pattern, text.strip("\n").split("\n")[0].strip()) is not None


class Model:
    def __init__(self, folder, dtype):
        self.tok = LlamaTokenizerFast.from_pretrained(folder)
        self.net = IdeficsForVisionText2Text.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
        self.pixels, self.cache = IdeficsImageProcessor(), {}

    @torch.no_grad()
    def latents(self, paths):
        new = [p for p in dict.fromkeys(paths) if p not in self.cache]
        for i in range(0, len(new), 64):
            part = new[i : i + 64]
            x = self.pixels([Image.open(p) for p in part], return_tensors="pt").to(self.net.dtype)
            z = self.net.model.perceiver_resampler(self.net.model.vision_model(pixel_values=x).last_hidden_state)
            self.cache.update(zip(part, z))
        return torch.stack([self.cache[p] for p in paths])

    @torch.no_grad()
    def answers(self, rows, root, limit=48):
        """Greedy continuation of each prompt up to a stop; the whole text is run anew for each token."""
        order, z, texts = [], [], []
        for r in rows:
            paths = [os.path.join(root, it["image"]) for it in r["prompt"] if "image" in it]
            order.append(list(range(len(z), len(z) + len(paths))))
            z += list(self.latents(paths)) if paths else []
            texts.append("<s>" + L.text_of(r["prompt"]))
        z = torch.stack(z)
        ids = [self.tok(t, add_special_tokens=False)["input_ids"] for t in texts]
        start, live = [len(i) for i in ids], list(range(len(rows)))
        for _ in range(limit):
            if not live:
                break
            g = collate([Row(ids[k], [0.0] * len(ids[k]), order[k], []) for k in live], max(len(order[k]) for k in live))
            hidden = self.net.model(input_ids=g.ids, attention_mask=g.attention, perceiver_embeddings=z[g.images],
                                    image_attention_mask=g.see.to(z.dtype), use_cache=False).last_hidden_state  # fmt: skip
            last = hidden[torch.arange(len(live)), [len(ids[k]) - 1 for k in live]]
            logits = self.net.lm_head(last)
            logits[:, [IMAGE_ID - 1, IMAGE_ID]] = float("-inf")
            still = []
            for k, t in zip(live, logits.argmax(-1).tolist()):
                ids[k].append(t)
                done = t in (2, IMAGE_ID + 1) or ("\n" in rows[k]["stop"] and self.tok.convert_ids_to_tokens(t) == "<0x0A>")
                still += [] if done else [k]
            live = still
        return [self.tok.decode(i[s:], skip_special_tokens=True) for i, s in zip(ids, start)]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--checkpoint", required=True)
    ap.add_argument("--data", required=True)
    ap.add_argument("--tasks", help="comma-separated; all without it")
    ap.add_argument("--limit", type=int)
    ap.add_argument("--out")
    ap.add_argument("--dtype", default="float32")
    ap.add_argument("--show", type=int, default=2)
    a = ap.parse_args()
    torch.set_num_threads(2)
    model, results = Model(a.checkpoint, getattr(torch, a.dtype)), {}
    for name in sorted(f for f in os.listdir(a.data) if f.endswith(".jsonl")):
        if a.tasks and name[:-6] not in a.tasks.split(","):
            continue
        with open(os.path.join(a.data, name), encoding="utf-8") as fh:
            rows = [json.loads(line) for line in fh][: a.limit]
        texts = [t for i in range(0, len(rows), 64) for t in model.answers(rows[i : i + 64], a.data)]
        right = [is_right(r, t) for r, t in zip(rows, texts)]
        share = lambda xs: round(100 * sum(xs) / max(1, len(xs)), 1)
        out = {"items": len(rows), "right": share(right)}
        for p in ("seen", "held"):
            out["right, wording " + p] = share([x for x, r in zip(right, rows) if r["phrasing"] == p])
        if "format" in rows[0]:
            out["format followed"] = share([follows_format(r, t) for r, t in zip(rows, texts)])
        results[name[:-6]] = out
        print(name[:-6], json.dumps(out), flush=True)
        for r, t, ok in list(zip(rows, texts, right))[: a.show]:
            print("   ", "+" if ok else "-", r["prompt"][-1]["text"].split(L.EOU)[0][-60:], "|", t.strip(), "|", r["answers"][0])
    if a.out:
        with open(a.out, "w", encoding="utf-8") as fh:
            json.dump(results, fh, indent=1)
            fh.write("\n")


if __name__ == "__main__":
    main()
