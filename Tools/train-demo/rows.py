"""From examples to tensors: token ids, targets and image-attention masks, in groups of equal image count."""
import random
from dataclasses import dataclass

import torch

import language as L
from model import EXTRA, PIECES

IMAGE_ID, EOS_ID = PIECES + 1, 2


@dataclass
class Group:
    """ids, attention, target [R, T] (-100 where nothing is learned) and its weight, images [R, N] indices, see [R, T, N]."""

    ids: torch.Tensor
    attention: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor
    images: torch.Tensor
    see: torch.Tensor


def encode(tok, example):
    """Ids of the whole text and, per id, the weight with which it is learned; image indices in order.

    A token of a short answer weighs more than one of a long answer, or captions would drown "yes" and "left".
    """
    text, marks, images, last_image = "<s>", [], [], False
    for items, learn in example.parts:
        piece = L.text_of(items) if not (last_image and "image" in items[0]) else None
        if piece is None:
            raise ValueError("two images may not meet across parts")
        if learn:
            marks.append((len(text), len(text) + len(piece)))
        text += piece
        images += [it["image"] for it in items if "image" in it]
        last_image = "image" in items[-1]
    enc = tok(text, add_special_tokens=False, return_offsets_mapping=True)
    answer = [next((i for i, (a, b) in enumerate(marks) if a <= s and e <= b and e > s), None) for s, e in enc["offset_mapping"]]
    weight = [0.0 if i is None else answer.count(i) ** -0.7 for i in answer]
    return enc["input_ids"], weight, images


def image_of_token(ids):
    """Section 3.6 of the model's rules: the index of the image that each token attends to, or -1."""
    count, closed, out = -1, False, []
    for i in ids:
        if i == IMAGE_ID:
            count, closed = count + 1, False
        out.append(-1 if closed else count)
        if i == EOS_ID:
            closed = True
    return out


def collate(rows, width):
    """rows of (ids, weight, images); right padding."""
    t = max(len(r[0]) for r in rows)
    n = max(1, width)
    ids = torch.zeros(len(rows), t, dtype=torch.long)
    attention, target = torch.zeros_like(ids), torch.full_like(ids, -100)
    weight = torch.zeros(len(rows), t)
    images, see = torch.zeros(len(rows), n, dtype=torch.long), torch.zeros(len(rows), t, n)
    for r, (row, learned, im) in enumerate(rows):
        k = len(row)
        ids[r, :k] = torch.tensor(row)
        attention[r, :k] = 1
        # position p predicts token p + 1
        target[r, : k - 1] = torch.tensor([x if m else -100 for x, m in zip(row[1:], learned[1:])])
        weight[r, : k - 1] = torch.tensor(learned[1:])
        images[r, : len(im)] = torch.tensor(im, dtype=torch.long)
        for p, j in enumerate(image_of_token(row)):
            if 0 <= j < n:
                see[r, p, j] = 1
    return Group(ids, attention, target, weight, images, see)


def draw_groups(tok, scenes, rng: random.Random, dialogues, shots):
    """Text for a batch of scenes: dialogues and base-style rows in two length buckets, and few-shot rows."""
    single = []
    for _ in range(dialogues):
        k = rng.randrange(len(scenes))
        u = rng.random()
        if u < 0.03:
            e = L.small_talk(rng)
        elif u < 0.18:
            e = L.base_style(rng, scenes[k], k)
        else:
            e = L.dialogue(rng, scenes[k], k)
        single.append(encode(tok, e))
    single.sort(key=lambda r: len(r[0]))
    half = len(single) * 3 // 5
    groups = [collate(single[:half], 1), collate(single[half:], 1)]
    ones = [i for i, s in enumerate(scenes) if len(s.things) == 1]
    if shots and len(ones) >= 4:
        rows = []
        for _ in range(shots):
            pick = rng.sample(ones, rng.choice((3, 3, 4)))
            rows.append(encode(tok, L.few_shot(rng, [scenes[i] for i in pick], pick)[0]))
        groups.append(collate(rows, 4))
    return groups


def text_loss(net, latents, groups):
    """Weighted mean cross-entropy over all learned tokens, by hand over the whole vocabulary, and the share predicted right."""
    total, weights, right, count = 0.0, 0.0, 0, 0
    for g in groups:
        hidden = net.model(
            input_ids=g.ids, attention_mask=g.attention, perceiver_embeddings=latents[g.images], image_attention_mask=g.see, use_cache=False
        ).last_hidden_state
        keep = g.target != -100
        logits = net.lm_head(hidden[keep]).float()
        if logits.shape[-1] != PIECES + EXTRA:
            raise ValueError("the head does not cover the additional vocabulary")
        goal = g.target[keep]
        weight = g.weight[keep]
        total = total + (weight * torch.nn.functional.cross_entropy(logits, goal, reduction="none")).sum()
        weights += float(weight.sum())
        right += int((logits.argmax(-1) == goal).sum())
        count += len(goal)
    return total / weights, right / count
