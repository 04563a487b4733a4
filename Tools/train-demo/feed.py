"""Batches of scenes from a background process, with a replay buffer so that the trainer never waits."""
import multiprocessing as mp
import queue
import random

import numpy as np
import torch

import scenes

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)


def patches(images):
    """u8 [n, 224, 224, 3] -> bf16 [n, 64, 3·28·28]: the processor's normalisation, then the convolution's patch order."""
    n, g, p = len(images), scenes.GRID, scenes.PATCH
    x = np.ascontiguousarray(images.reshape(n, g, p, g, p, 3).transpose(0, 1, 3, 5, 2, 4))
    x = torch.from_numpy(x).view(n, g * g, 3, p * p).bfloat16()
    return x.mul_((1 / (255 * STD)).view(3, 1)).sub_((MEAN / STD).view(3, 1)).flatten(2)


def make_batch(seeds):
    rows = [scenes.sample(s) for s in seeds]
    return dict(
        scenes=[r[0] for r in rows], images=np.stack([r[1] for r in rows]),
        patch=np.stack([r[2][0] for r in rows]), slots=np.stack([r[2][1] for r in rows]), regions=np.stack([r[2][2] for r in rows]),
    )  # fmt: skip


def _work(out, first, batch):
    torch.set_num_threads(1)
    seed = first
    while True:
        out.put(make_batch(range(seed, seed + batch)))
        seed += batch


class Feed:
    """Each batch is given out `uses` times, far apart; when the worker is late an old one is given once more."""

    def __init__(self, first_seed, batch, uses=2, keep=32):
        self.queue = mp.Queue(maxsize=4)
        self.worker = mp.Process(target=_work, args=(self.queue, first_seed, batch), daemon=True)
        self.worker.start()
        self.recent, self.keep, self.uses, self.fresh, self.given = [], keep, uses, 0, 0
        self.random = random.Random(first_seed)

    def next(self):
        self.given += 1
        if self.fresh * self.uses <= self.given or len(self.recent) < 8:
            try:
                b = self.queue.get(block=len(self.recent) < 8)
                self.fresh += 1
                self.recent = (self.recent + [b])[-self.keep :]
                return b
            except queue.Empty:
                pass
        return self.random.choice(self.recent)
