#!/usr/bin/env python3
"""Phase 2: the language side and the tower together; goes on from phase 1's vision.pt and resumes from its own joint.pt.

    train_joint.py --run DIR --tokenizer DIR --minutes 60
"""
import argparse
import copy
import json
import os
import random
import time

import torch
from transformers import LlamaTokenizerFast

import model as M
from export import export
from feed import Feed
from matching import point_names_at_latents
from optim import Both
from rows import TextLoss, draw_groups
from train_vision import held_accuracy, save, scene_losses


def language_modules(net):
    return [net.model.embed_tokens, net.model.layers, net.model.gated_cross_attn_layers, net.model.norm, net.lm_head]


class Average:
    """A running mean of the weights, which is what gets exported: as good as a rate that has fallen, at any time."""

    def __init__(self, net, span):
        self.net, self.span, self.mean = net, span, copy.deepcopy(net).requires_grad_(False)

    def update(self, step):
        share = 1 / min(self.span, 1 + step)
        torch._foreach_lerp_(list(self.mean.parameters()), [p.data for p in self.net.parameters()], share)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--run", required=True)
    ap.add_argument("--tokenizer", required=True)
    ap.add_argument("--minutes", type=float, required=True)
    ap.add_argument("--rows", type=int, default=44, help="dialogues per step")
    ap.add_argument("--shots", type=int, default=16, help="few-shot prompts per step")
    ap.add_argument("--batch", type=int, default=128, help="images per step")
    ap.add_argument("--keep", type=int, default=36, help="patches looked at per image, of 64")
    ap.add_argument("--peak", type=float, default=1.0, help="share of the base rate")
    ap.add_argument("--init", help="checkpoint folder to start the language side from, in place of fresh weights")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--export", help="refresh this checkpoint folder every few minutes")
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    at = lambda n: os.path.join(a.run, n)
    tok = LlamaTokenizerFast.from_pretrained(a.tokenizer)
    net, heads, pointer = M.build(folder=a.init), M.Heads(), M.Pointer()
    M.use_plain_attention(net)
    vision = torch.load(at("vision.pt"))
    net.load_state_dict(vision["net"], strict=False)
    heads.load_state_dict(vision["heads"])
    if not a.init:
        point_names_at_latents(net, heads, tok)
    opt = Both({"language": language_modules(net), "vision": [net.model.vision_model, net.model.perceiver_resampler], "heads": [heads, pointer]})
    average, step, used = Average(net, 50), 0, 0.0
    if os.path.exists(at("joint.pt")):
        s = torch.load(at("joint.pt"))
        for name, module in (("net", net), ("heads", heads), ("pointer", pointer), ("mean", average.mean)):
            module.load_state_dict(s[name])
        opt.load_state_dict(s["opt"])
        step, used = s["step"], s["used"]
    text_loss = TextLoss(net, pointer, tok)
    feed = Feed(10**7 + step * a.batch, a.batch)
    rng = random.Random(step)
    log = open(at("joint.jsonl"), "a")
    window, mark = [], time.time()
    saved = mark
    while used < a.minutes * 60:
        b = feed.next()
        groups = draw_groups(tok, b["scenes"], rng, a.rows, a.shots)
        with torch.autocast("cpu", torch.bfloat16):
            aux, z, acc = scene_losses(net, heads, b, a.keep)
            text, found, shares = text_loss(z, groups)
            loss = text + 0.5 * found + aux
        loss.backward()
        rate = min(a.peak, 1.25 * (1 - used / (a.minutes * 60)))
        warm = min(1.0, (step + 1) / 60)
        opt.step({"language": rate * warm, "vision": 0.6 * rate * warm, "heads": rate * warm})
        average.update(step)
        step += 1
        now = time.time()
        used, mark = used + now - mark, now
        window.append(dict(loss=text.item(), patch_class=acc["patch"][0], slot_class=acc["slots"][0]) | shares)
        if step % 25 == 0:
            mean = {k: round(sum(w[k] for w in window) / len(window), 4) for k in window[0]}
            print(json.dumps(dict(step=step, used=round(used), fresh=feed.fresh, rate=round(rate, 3)) | mean), file=log, flush=True)
            window = []
        if now - saved > 300 or used >= a.minutes * 60:
            save(at("joint.pt"), net=net.state_dict(), heads=heads.state_dict(), pointer=pointer.state_dict(),
                 mean=average.mean.state_dict(), opt=opt.state_dict(), step=step, used=used)  # fmt: skip
            if a.export:
                export(average.mean, a.tokenizer, a.export)
            print(json.dumps(dict(step=step, used=round(used), held=held_accuracy(average.mean, heads))), file=log, flush=True)
            saved = mark = time.time()


if __name__ == "__main__":
    main()
