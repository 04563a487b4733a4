#!/usr/bin/env python3
"""Write a Hugging Face checkpoint folder: weights, config, tokenizer files, preprocessor and generation configs.

    export.py --tokenizer DIR --out DIR [--state joint.pt] [--dtype bfloat16]

Without --state the weights are the untrained initialisation. The folder is written aside and renamed into place.
"""
import argparse
import json
import os
import shutil

import torch
from transformers import IdeficsImageProcessor

import model as M


TOKENIZER = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def dump(path, obj):
    with open(path, "w", encoding="utf-8") as fh:
        json.dump(obj, fh, ensure_ascii=False, indent=1)
        fh.write("\n")


def export(net, tokenizer, out, dtype=torch.bfloat16):
    tmp = out.rstrip("/") + ".tmp"
    shutil.rmtree(tmp, ignore_errors=True)
    twin = M.build()
    twin.load_state_dict(net.state_dict())
    twin.to(dtype).save_pretrained(tmp)
    for f in TOKENIZER:
        shutil.copy(os.path.join(tokenizer, f), tmp)
    ip = IdeficsImageProcessor()
    dump(os.path.join(tmp, "preprocessor_config.json"),
         {"image_num_channels": 3, "image_mean": list(ip.image_mean), "image_processor_type": "IdeficsImageProcessor",
          "image_size": 224, "image_std": list(ip.image_std), "processor_class": "IdeficsProcessor"})  # fmt: skip
    dump(os.path.join(tmp, "generation_config.json"),
         {"_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0})  # fmt: skip
    shutil.rmtree(out + ".old", ignore_errors=True)
    if os.path.exists(out):
        os.rename(out, out + ".old")
    os.rename(tmp, out)
    shutil.rmtree(out + ".old", ignore_errors=True)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--tokenizer", required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--state")
    ap.add_argument("--dtype", default="bfloat16")
    a = ap.parse_args()
    net = M.build()
    if a.state:
        net.load_state_dict(torch.load(a.state)["net"])
    export(net, a.tokenizer, a.out, getattr(torch, a.dtype))


if __name__ == "__main__":
    main()
