"""Batches of scenes from a background process, with a replay buffer so that the trainer never waits."""
import multiprocessing as mp
import queue
import random

import numpy as np
import torch

import scenes

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])
SCALE = (1 / (255 * STD)).repeat_interleave(scenes.PATCH**2).bfloat16()
SHIFT = (-MEAN / STD).repeat_interleave(scenes.PATCH**2).bfloat16()


def patch_order(images):
    """u8 [n, 224, 224, 3] -> u8 [n, 64, 3·28·28], each patch in the order of the convolution's weights."""
    n, g, p = len(images), scenes.GRID, scenes.PATCH
    return np.ascontiguousarray(images.reshape(n, g, p, g, p, 3).transpose(0, 1, 3, 5, 2, 4)).reshape(n, g * g, -1)


def pixels(patches, keep=None):
    """u8 [n, 64, 3·28·28] -> bf16, normalised as the processor does; keep [n, k]: only these patches."""
    x = torch.from_numpy(patches)
    if keep is not None:
        x = x[torch.arange(len(x)).unsqueeze(-1), keep]
    return torch.addcmul(SHIFT, x.bfloat16(), SCALE)


def make_batch(seeds, split="train", count=None):
    """Scenes, their patches [n, 64, 2352] u8 and the labels of patches, slots and regions."""
    rows = [scenes.sample(s, split, count) for s in seeds]
    return dict(
        scenes=[r[0] for r in rows], pixels=patch_order(np.stack([r[1] for r in rows])), patch=np.stack([r[2][0] for r in rows]), slots=np.stack([r[2][1] for r in rows]), regions=np.stack([r[2][2] for r in rows]),
    )  # fmt: skip


def _work(out, first, batch):
    torch.set_num_threads(1)
    seed = first
    while True:
        out.put(make_batch(range(seed, seed + batch)))
        seed += batch


class Feed:
    """Every batch is new; only when the worker is late an old one is given once more.

    Giving each twice makes the second sight 15 points better than a fresh one, and teaches little.
    """

    def __init__(self, first_seed, batch, keep=16):
        self.queue = mp.Queue(maxsize=4)
        self.worker = mp.Process(target=_work, args=(self.queue, first_seed, batch), daemon=True)
        self.worker.start()
        self.recent, self.keep, self.fresh = [], keep, 0
        self.random = random.Random(first_seed)

    def next(self):
        try:
            b = self.queue.get(block=len(self.recent) < 4)
        except queue.Empty:
            return self.random.choice(self.recent)
        self.fresh += 1
        self.recent = (self.recent + [b])[-self.keep :]
        return b
