#!/usr/bin/env python3
"""The demo tokenizer: SentencePiece BPE with byte fallback, as the LLaMA tokenizer of IDEFICS behaves (legacy).

    tokens.py DIR     trains it on text that the generator writes plus the CLDR annotations, and writes DIR
"""
import json
import os
import random
import sys
import xml.etree.ElementTree as ET

import sentencepiece as spm
from tokenizers import AddedToken
from transformers import LlamaTokenizerFast

import language as L
from model import PIECES
from objects import CLDR, class_names
from scenes import draw_scene

EXTRA = ("<fake_token_around_image>", "<image>", "<end_of_utterance>")


def corpus():
    rng = random.Random(3)
    lines = []
    for seed in range(4000):
        s = draw_scene(seed, count=1 + seed % 3)
        ex = [L.dialogue(rng, s, 0), L.base_style(rng, s, 0), L.few_shot(rng, [s], [0])[0], L.small_talk(rng)]
        for e in ex:
            for items, _ in e.parts:
                for it in items:
                    t = it.get("text", "").replace(L.EOU, "").replace("</s>", "").strip(" \n")
                    lines += [x for x in t.split("\n") if x]
    lines += list(class_names()) * 200 + [w for n in class_names() for w in n.split()] * 50
    for a in ET.parse(CLDR).getroot().iter("annotation"):
        if a.text and a.text.isascii():
            lines += [w.strip() for w in a.text.split("|")]
    lines += ["(User:", "(Assistant:", "(Image:", "(Hello"] * 3000  # words that follow a line break and so have no space before them
    lines += ["".join(map(chr, range(33, 127)))] * 3 + ["a  b   c    d"] * 20
    return lines


def make(outdir):
    os.makedirs(outdir, exist_ok=True)
    prefix = os.path.join(outdir, "tokenizer")
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_prefix=prefix, model_type="bpe", vocab_size=PIECES, character_coverage=1.0,
        byte_fallback=True, split_digits=True, allow_whitespace_only_pieces=True, normalization_rule_name="identity",
        add_dummy_prefix=True, remove_extra_whitespaces=False, unk_id=0, bos_id=1, eos_id=2, pad_id=-1, num_threads=1,
        minloglevel=2)  # fmt: skip
    os.remove(prefix + ".vocab")
    fast = LlamaTokenizerFast(
        vocab_file=prefix + ".model", legacy=True, add_prefix_space=True, model_max_length=2048, pad_token="<unk>", padding_side="left"
    )
    fast.add_special_tokens({"additional_special_tokens": [AddedToken(t, special=True, normalized=False) for t in EXTRA]})
    for i, t in enumerate(EXTRA):
        if fast.convert_tokens_to_ids(t) != PIECES + i:
            raise ValueError(f"{t} is not id {PIECES + i}")
    fast.save_pretrained(outdir)
    rewrite(os.path.join(outdir, "tokenizer.json"), merges_as_strings)
    rewrite(os.path.join(outdir, "tokenizer_config.json"), lambda c: (c.pop("add_prefix_space", None), c.update(padding_side="left")))
    return LlamaTokenizerFast.from_pretrained(outdir)


def merges_as_strings(t):
    t["model"]["merges"] = [m if isinstance(m, str) else " ".join(m) for m in t["model"]["merges"]]


def rewrite(path, change):
    with open(path, encoding="utf-8") as fh:
        obj = json.load(fh)
    change(obj)
    with open(path, "w", encoding="utf-8") as fh:
        json.dump(obj, fh, ensure_ascii=False, indent=1)
        fh.write("\n")


if __name__ == "__main__":
    tok = make(sys.argv[1])
    slow = spm.SentencePieceProcessor(os.path.join(sys.argv[1], "tokenizer.model"))
    for text in ("a cat and an apple on a striped red background", "x  y 12", "héllo \n ok"):
        ids = tok(text, add_special_tokens=False)["input_ids"]
        assert ids == slow.encode(text), (text, ids, slow.encode(text))
        assert tok.decode(ids) == text
    lengths = {n: len(tok(n, add_special_tokens=False)["input_ids"]) for n in class_names()}
    print("pieces per name", sum(lengths.values()) / len(lengths), [n for n, k in lengths.items() if k > 2])
    print(tok.convert_ids_to_tokens(tok("<s>User:<fake_token_around_image><image><fake_token_around_image>What is this?<end_of_utterance> \nAssistant: a cat<end_of_utterance>", add_special_tokens=False)["input_ids"]))
