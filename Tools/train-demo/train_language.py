#!/usr/bin/env python3
"""Phases 2 and 3: the language side on stored latents of a frozen tower, then everything together.

    train_language.py --run DIR --tokenizer DIR --minutes 30 --cache 16384      phase 2
    train_language.py --run DIR --tokenizer DIR --minutes 20 --joint            phase 3

Both resume from DIR (vision.pt of phase 1; language.pt, joint.pt of their own).
"""
import argparse
import json
import math
import os
import random
import time

import numpy as np
import torch
from transformers import LlamaTokenizerFast

import model as M
from export import export
from feed import Feed, make_batch, patches
from matching import point_names_at_latents
from optim import Both
from rows import draw_groups, text_loss
from train_vision import save, scene_losses


def language_modules(net):
    return [net.model.embed_tokens, net.model.layers, net.model.gated_cross_attn_layers, net.model.norm, net.lm_head]


def without_tower(state):
    """The language side of a state: phase 1 may have gone on since it was stored."""
    return {k: v for k, v in state.items() if "vision_model" not in k and "perceiver" not in k}


def stored_latents(net, run, count):
    """Scenes and latents [count, 24, width] bf16 under the tower as it is; computed once per run folder."""
    path = os.path.join(run, "latents.pt")
    if os.path.exists(path):
        s = torch.load(path, weights_only=False)
        return s["scenes"], s["latents"]
    first, step, scenes, parts = 2 * 10**7, 128, [], []
    for seed in range(first, first + count, step):
        b = make_batch(range(seed, seed + step))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            parts.append(M.tower(net, patches(b["images"]))[1].bfloat16())
        scenes += b["scenes"]
    latents = torch.cat(parts)
    save(path, scenes=scenes, latents=latents)
    return scenes, latents


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--run", required=True)
    ap.add_argument("--tokenizer", required=True)
    ap.add_argument("--minutes", type=float, required=True)
    ap.add_argument("--joint", action="store_true")
    ap.add_argument("--cache", type=int, default=16384)
    ap.add_argument("--rows", type=int, default=64)
    ap.add_argument("--batch", type=int, default=64, help="images per step (joint)")
    ap.add_argument("--keep", type=int, help="patches looked at per image (joint); all without it")
    ap.add_argument("--peak", type=float, default=1.0, help="share of the base rate (phase 2)")
    ap.add_argument("--cooldown", type=float, default=0.7, help="part of the time, at the end, in which the rate falls to zero (phase 2)")
    ap.add_argument("--init", help="checkpoint folder to start the language side from, in place of fresh weights")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--export", help="refresh this checkpoint folder every few minutes")
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    name = "joint" if a.joint else "language"
    at = lambda n: os.path.join(a.run, n)
    tok = LlamaTokenizerFast.from_pretrained(a.tokenizer)
    net, heads = M.build(folder=a.init), M.Heads()
    M.use_plain_attention(net)
    vision = torch.load(at("vision.pt"))
    net.load_state_dict(vision["net"], strict=False)
    heads.load_state_dict(vision["heads"])
    if a.joint and os.path.exists(at("language.pt")):
        net.load_state_dict(without_tower(torch.load(at("language.pt"))["net"]), strict=False)
    elif not (a.joint or a.init or os.path.exists(at("language.pt"))):
        point_names_at_latents(net, heads, tok)
    tower = [net.model.vision_model, net.model.perceiver_resampler]
    if not a.joint:
        for m in tower:
            m.requires_grad_(False)
    roles = {"language": language_modules(net)}
    if a.joint:
        roles |= {"vision": tower, "heads": [heads]}
    opt, step, used = Both(roles), 0, 0.0
    if os.path.exists(at(name + ".pt")):
        s = torch.load(at(name + ".pt"))
        net.load_state_dict(s["net"] if a.joint else without_tower(s["net"]), strict=False)
        heads.load_state_dict(s["heads"])
        opt.load_state_dict(s["opt"])
        step, used = s["step"], s["used"]
    feed = Feed(10**7 + step * a.batch, a.batch) if a.joint else None
    scenes, latents = (None, None) if a.joint else stored_latents(net, a.run, a.cache)
    rng = random.Random(step)
    log = open(at(name + ".jsonl"), "a")
    window, mark = [], time.time()
    saved = mark
    while used < a.minutes * 60:
        with torch.autocast("cpu", torch.bfloat16):
            if a.joint:
                b = feed.next()
                aux, z, acc = scene_losses(net, heads, b, patches(b["images"]), a.keep)
                groups = draw_groups(tok, b["scenes"], rng, a.rows, a.rows // 12)
                text, right = text_loss(net, z, groups)
                loss = text + 0.3 * aux
            else:
                pick = rng.sample(range(len(scenes)), 64)
                groups = draw_groups(tok, [scenes[i] for i in pick], rng, a.rows, a.rows // 12)
                loss, right = text_loss(net, latents[pick].float(), groups)
                text = loss
        loss.backward()
        done = used / (a.minutes * 60)
        cosine = 0.5 + 0.5 * math.cos(math.pi * done)
        warm = min(1.0, (step + 1) / 50)
        if a.joint:
            opt.step({"language": 0.35 * cosine * warm, "vision": 0.25 * cosine * warm, "heads": 0.25 * cosine * warm})
        else:
            left = 1 - done
            opt.step({"language": a.peak * min(1.0, left / a.cooldown) * warm})
        step += 1
        now = time.time()
        used, mark = used + now - mark, now
        window.append([text.item(), right] + ([acc["patch"][0], acc["slots"][0]] if a.joint else []))
        if step % 25 == 0:
            m = np.mean(window, 0)
            row = dict(step=step, used=round(used), loss=round(m[0], 4), right=round(m[1], 4))
            if a.joint:
                row |= dict(patch_class=round(m[2], 4), slot_class=round(m[3], 4), fresh=feed.fresh)
            print(json.dumps(row), file=log, flush=True)
            window = []
        if now - saved > 300 or used >= a.minutes * 60:
            save(at(name + ".pt"), net=net.state_dict(), heads=heads.state_dict(), opt=opt.state_dict(), step=step, used=used)
            if a.export:
                export(net, a.tokenizer, a.export)
            saved = mark = time.time()


if __name__ == "__main__":
    main()
