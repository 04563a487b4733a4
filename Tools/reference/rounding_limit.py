#!/usr/bin/env python3
"""How many bits a weight must have before greedy answers of the random-weight reference model stay equal.

    Tools/reference/rounding_limit.py

The cases are those of Tests/Fixtures (model `micro`). Every matrix (linear layers, patch
convolution, tables and head) is rounded to b bits in groups of 32 with an unrounded absmax scale, activations and arithmetic stay
float32, and the greedy ids are compared with the recorded ones. Printed for each b: how many rows differ, and the largest and
median float32 gap at the first difference, that is what the float32 model preferred its own token by. The last lines are
transformers itself in bfloat16 and float16.
"""
import copy
import itertools
import json
import os
import pathlib
import statistics

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import IdeficsForVisionText2Text, IdeficsImageProcessor, IdeficsProcessor, LlamaTokenizerFast

torch.set_grad_enabled(False)
GROUP = 32
FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Fixtures"
NAME = "micro"


def rounded(w, bits):
    """w [n, ...] rounded to 2^bits − 1 levels in groups of 32 along the rest."""
    rows = w.reshape(w.shape[0], -1)
    pad = -rows.shape[1] % GROUP
    groups = torch.nn.functional.pad(rows, (0, pad)).reshape(rows.shape[0], -1, GROUP)
    limit = 2 ** (bits - 1) - 1
    scale = groups.abs().amax(-1, keepdim=True) / limit
    q = torch.where(scale > 0, (groups / scale).round() * scale, groups)
    return q.reshape(rows.shape[0], -1)[:, : rows.shape[1]].reshape(w.shape)


def first_differences(model, processor, dtype):
    """Of every answer that differs the gap of float32's logits at the first difference; and the number of answers."""
    gaps, rows = [], 0
    for file in sorted((FIXTURES / "cases" / NAME).glob("*.json")):
        case = json.loads(file.read_text())
        logits = load_file(file.with_suffix(".safetensors"))["step_logits"]
        load = lambda part: part["text"] if "text" in part else Image.open(FIXTURES / "images" / part["image"])
        prompts = [[load(part) for part in prompt] for prompt in case["prompts"]]
        inputs = processor(text=prompts, return_tensors="pt", **case["processor_options"])
        inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
        wanted = case["generation"]
        answers = model.generate(
            **inputs, max_new_tokens=wanted["max_new_tokens"], do_sample=False, pad_token_id=0,
            eos_token_id=wanted["eos_token_id"], bad_words_ids=wanted["bad_words_ids"],
        )[:, inputs["input_ids"].shape[1] :].tolist()  # fmt: skip
        for row, expected in enumerate(wanted["generated_ids"]):
            rows += 1
            for step, (token, other) in enumerate(itertools.zip_longest(expected, answers[row], fillvalue=0)):
                if token != other:
                    gaps.append(float(logits[row, step, token] - logits[row, step, other]))
                    break
    return gaps, rows


def main():
    path = FIXTURES / "models" / NAME
    processor = IdeficsProcessor(IdeficsImageProcessor(), LlamaTokenizerFast.from_pretrained(path))

    def load(dtype):
        return IdeficsForVisionText2Text.from_pretrained(path, dtype=dtype, attn_implementation="eager").eval()

    def report(label, model, dtype=torch.float32):
        gaps, rows = first_differences(model, processor, dtype)
        print(f"{label:22} {len(gaps):2} of {rows} answers differ", end="")
        if gaps:
            wide = sum(gap >= 0.05 for gap in gaps)
            print(f"; largest gap {max(gaps):.3f}, median {statistics.median(gaps):.3f}, {wide} of 0.05 or more", end="")
        print(flush=True)

    exact = load(torch.float32)
    report("float32", exact)
    for bits in range(8, 13):
        model = copy.deepcopy(exact)
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.copy_(rounded(parameter, bits))
        report(f"{bits}-bit weights", model)
    report("bfloat16 transformers", load(torch.bfloat16), torch.bfloat16)
    report("float16 transformers", load(torch.float16), torch.float16)


if __name__ == "__main__":
    main()
