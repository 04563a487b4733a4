#!/usr/bin/env python3
"""Phase 1: the vision tower and the resampler alone, on dense labels. Resumes from its own checkpoint.

    train_vision.py --run DIR --minutes 45
"""
import argparse
import json
import os
import time

import numpy as np
import torch

import model as M
from feed import Feed, make_batch, pixels
from optim import Both


def patches_with_objects_first(patch_labels, k, generator=None):
    """Indices [n, k] of patches: those with an object before the bare ones, otherwise by chance."""
    order = (patch_labels[..., 0] > 0).float() + 1.5 * torch.rand(patch_labels.shape[:2], generator=generator)
    return order.topk(k, 1).indices.sort(1).values


def scene_losses(net, heads, batch, k=None):
    """Dense losses on patches, slots, the scene latent and regions; also the latents for what comes after.

    With k, only k patches per image are looked at: cheaper, and an augmentation.
    """
    t = torch.from_numpy
    labels, keep = t(batch["patch"]), None
    if k:
        keep = patches_with_objects_first(labels, k)
        labels = labels.gather(1, keep.unsqueeze(-1).expand(-1, -1, labels.shape[-1]))
    v, z = M.tower(net, pixels(batch["pixels"], keep), keep)
    lp, ap = heads.losses("patch", v[:, 1:], labels)
    n = M.SLOTS
    scene = t(batch["slots"][:, :1].copy())
    scene[..., :5] = -100
    rows = torch.cat([t(batch["slots"]), scene, t(batch["regions"])], 1)
    # slots and regions have one read-out but separate averages, or the many regions would drown the few slots
    ls, a_s = heads.losses("latent", z[:, : n + 1], rows[:, : n + 1])
    lr, ar = heads.losses("latent", z[:, n + 1 : n + 1 + M.REGIONS], rows[:, n + 1 :])
    return lp + ls + 0.4 * lr, z, dict(patch=ap, slots=a_s, regions=ar)


def save(path, **state):
    torch.save(state, path + ".tmp")
    os.replace(path + ".tmp", path)


def vision_state(net):
    return {k: v for k, v in net.state_dict().items() if "vision_model" in k or "perceiver" in k}


@torch.no_grad()
def held_accuracy(net, heads, n=192):
    out = {}
    for count in (1, 2, 3):
        batch = make_batch(range(10**9, 10**9 + n // 3), "held", count)
        with torch.autocast("cpu", torch.bfloat16):
            _, _, acc = scene_losses(net, heads, batch)
        for k, a in acc.items():
            out[f"{k}{count}"] = [round(x, 3) for x in a]
    return out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--run", required=True)
    ap.add_argument("--minutes", type=float, required=True)
    ap.add_argument("--batch", type=int, default=96)
    ap.add_argument("--keep", type=int, default=36, help="patches looked at per image, of 64")
    ap.add_argument("--init", help="checkpoint folder to start from, in place of fresh weights")
    ap.add_argument("--peak", type=float, default=1.0, help="share of the base rate")
    ap.add_argument("--threads", type=int, default=2)
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    os.makedirs(a.run, exist_ok=True)
    path, log = os.path.join(a.run, "vision.pt"), open(os.path.join(a.run, "vision.jsonl"), "a")
    net, heads = M.build(folder=a.init), M.Heads()
    M.use_plain_attention(net)
    opt = Both({"vision": [net.model.vision_model, net.model.perceiver_resampler], "heads": [heads]})
    step, used = 0, 0.0
    if os.path.exists(path):
        s = torch.load(path)
        net.load_state_dict(s["net"], strict=False)
        heads.load_state_dict(s["heads"])
        opt.load_state_dict(s["opt"])
        step, used = s["step"], s["used"]
    elif not a.init:
        M.fit_patch_embedding(net, pixels(make_batch(range(10**8, 10**8 + 192))["pixels"]))
    feed = Feed(step * a.batch, a.batch)
    mark = saved = time.time()
    window = []
    while used < a.minutes * 60:
        b = feed.next()
        with torch.autocast("cpu", torch.bfloat16):
            loss, _, acc = scene_losses(net, heads, b, a.keep)
        loss.backward()
        done = used / (a.minutes * 60)
        rate = min(1.0, (step + 1) / 60) * min(a.peak, 1.3 - 1.25 * done)
        # fresh heads on a trained tower learn first, or their first gradients would spoil it
        opt.step({"vision": rate * min(1.0, max(0.0, (step - 60) / 60)) if a.init else rate, "heads": rate})
        step += 1
        now = time.time()
        used, mark = used + now - mark, now
        window.append([loss.item(), acc["patch"][0], acc["slots"][0], acc["slots"][2], acc["slots"][5]])
        if step % 25 == 0:
            m = np.mean(window, 0)
            row = dict(step=step, used=round(used), fresh=feed.fresh, rate=round(rate, 3), loss=round(m[0], 4), patch_class=round(m[1], 4),
                       slot_class=round(m[2], 4), slot_rank=round(m[3], 4), slot_background=round(m[4], 4))  # fmt: skip
            print(json.dumps(row), file=log, flush=True)
            window = []
        if now - saved > 300 or used >= a.minutes * 60:
            print(json.dumps(dict(step=step, used=round(used), held=held_accuracy(net, heads))), file=log, flush=True)
            save(path, net=vision_state(net), heads=heads.state_dict(), opt=opt.state_dict(), step=step, used=used)
            saved = mark = time.time()


if __name__ == "__main__":
    main()
