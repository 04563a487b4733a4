#!/usr/bin/env python3
"""Checks that what `idefix export` writes is, for transformers, the model that idefix runs.

    check_export.py CHECKPOINT IMAGE [--recipes f32,q8,q4] [--idefix PATH]

CHECKPOINT is a small Hugging Face folder, IMAGE a picture. For every recipe the checkpoint is converted and exported; the
export holds exactly the values that the kernels compute with. transformers, in float32, then gives the log-probabilities of
a text and of a text with the image; idefix gives its own for the same export in float32 (recipe f32, cache f32). Prints the
largest difference over all tokens and the whole vocabulary, and fails where it is over 1e-4.
"""
import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np
import torch
from PIL import Image
from transformers import IdeficsForVisionText2Text, IdeficsImageProcessor, IdeficsProcessor, LlamaTokenizerFast

BAR = 1e-4
TEXT = "Question: What's on the picture? Answer: Two red birds."


def distributions(path):
    """Records of a file of distributions (the layout is in DistributionFile.swift): id -> (token ids, [n, vocabulary])."""
    with open(path, "rb") as fh:
        data = fh.read()
    assert data[:8] == b"IDXDIST1"
    length = struct.unpack_from("<I", data, 8)[0]
    vocabulary = json.loads(data[12 : 12 + length])["vocabulary"]
    place, records = 12 + length, {}
    while place < len(data):
        name, count = struct.unpack_from("<II", data, place)
        key = data[place + 8 : place + 8 + name].decode()
        place += 8 + name
        ids = np.frombuffer(data, "<i4", count, place)
        values = np.frombuffer(data, "<f4", count * vocabulary, place + 4 * count).reshape(count, vocabulary)
        records[key] = (ids, values)
        place += 4 * count * (1 + vocabulary)
    return records


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("checkpoint")
    ap.add_argument("image")
    ap.add_argument("--recipes", default="f32,q8,q4")
    ap.add_argument("--idefix", default=os.path.join(os.path.dirname(__file__), "../../.build/release/idefix"))
    a = ap.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as work:
        place = lambda name: os.path.join(work, name)

        def idefix(*words):
            subprocess.run([a.idefix, *words], check=True, stdout=subprocess.PIPE)

        rows = {"text": [{"text": TEXT}], "image": [{"image": os.path.abspath(a.image)}, {"text": TEXT}]}
        with open(place("rows.jsonl"), "w", encoding="utf-8") as out:
            for key, prompt in rows.items():
                out.write(json.dumps({"id": key, "prompt": prompt}) + "\n")
        for recipe in a.recipes.split(","):
            model, export, exact = place(recipe + ".idfx"), place(recipe), place(recipe + "-f32.idfx")
            idefix("convert", a.checkpoint, "-o", model, "--recipe", recipe, "--quiet")
            idefix("export", model, "-o", export, "--quiet")
            idefix("convert", export, "-o", exact, "--recipe", "f32", "--quiet")
            found = place(recipe + ".distributions")
            idefix("eval", "divergence", exact, "--data", place("rows.jsonl"), "--save-reference", found, "--kv", "f32", "--quiet")
            records = distributions(found)

            reference = IdeficsForVisionText2Text.from_pretrained(export, dtype=torch.float32, attn_implementation="eager").eval()
            settings = json.load(open(os.path.join(export, "preprocessor_config.json"), encoding="utf-8"))
            images = IdeficsImageProcessor(image_size=settings["image_size"], image_mean=settings["image_mean"], image_std=settings["image_std"])
            processor = IdeficsProcessor(images, LlamaTokenizerFast.from_pretrained(export))
            for key, prompt in rows.items():
                parts = [p["text"] if "text" in p else Image.open(p["image"]) for p in prompt]
                inputs = processor(text=[parts], return_tensors="pt")
                with torch.no_grad():
                    logits = reference(**inputs, use_cache=False).logits[0].double().log_softmax(-1).numpy()
                tokens, ours = records[key]
                ids = inputs["input_ids"][0].tolist()
                # idefix leaves out tokens that are special; the text's own are the last ones.
                first = len(ids) - len(tokens)
                if ids[first:] != tokens.tolist():
                    sys.exit(f"{recipe}, {key}: the processors disagree: {ids} and {tokens.tolist()}")
                worst = np.abs(logits[first - 1 : -1] - ours).max()
                failed = failed or not worst <= BAR
                print(f"{recipe:4} {key:6} {len(tokens):3} tokens, largest difference {worst:.2e}")
    if failed:
        sys.exit(f"a difference is over {BAR}")


if __name__ == "__main__":
    main()
