"""From examples to tensors: token ids, targets and image-attention masks, in groups of equal image count."""
import random
import re
from dataclasses import dataclass

import torch

import language as L
from model import EXTRA, PIECES
from scenes import SIZE

IMAGE_ID, EOS_ID = PIECES + 1, 2


@dataclass
class Row:
    """One example as tokens: per token the weight with which it is learned, the images, and the names asked about.

    asked: (token position, [present, rank, third from the left, third from the top]) of the last piece of each name.
    """

    ids: list
    weight: list
    images: list
    asked: list


@dataclass
class Group:
    """ids, attention, target [R, T] (-100 where nothing is learned) and its weight, images [R, N] indices, see [R, T, N],
    names [K, 2] (row, position) and their labels [K, 4]."""

    ids: torch.Tensor
    attention: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor
    images: torch.Tensor
    see: torch.Tensor
    names: torch.Tensor
    labels: torch.Tensor


def label_of(thing, things):
    """What Model.ASKED says of a named object; of one that is not there only that."""
    if thing is None:
        return [0, -100, -100, -100]
    return [1, things.index(thing), int(thing.x * 3 / SIZE), int(thing.y * 3 / SIZE)]


def encode(tok, example, things=()):
    """The row of an example about a scene with these things.

    A token of a short answer weighs more than one of a long answer, or captions would drown "yes" and "left".
    """
    text, marks, images, names, last_image = "<s>", [], [], [], False
    for (items, learn), asked in zip(example.parts, example.asked or [[]] * len(example.parts)):
        if last_image and "image" in items[0]:
            raise ValueError("two images may not meet across parts")
        piece = L.text_of(items)
        for name, thing in asked:
            ends = [m.end() for m in re.finditer(rf"\b{re.escape(name)}\b", piece)]
            names += [(len(text) + e, label_of(thing, things)) for e in ends]
        if learn:
            marks.append((len(text), len(text) + len(piece)))
        text += piece
        images += [it["image"] for it in items if "image" in it]
        last_image = "image" in items[-1]
    enc = tok(text, add_special_tokens=False, return_offsets_mapping=True)
    spans = enc["offset_mapping"]
    answer = [next((i for i, (a, b) in enumerate(marks) if a <= s and e <= b and e > s), None) for s, e in spans]
    weight = [0.0 if i is None else answer.count(i) ** -0.7 for i in answer]
    position = {e: i for i, (s, e) in enumerate(spans) if e > s}
    return Row(enc["input_ids"], weight, images, [(position[e], label) for e, label in names if e in position])


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
    """Right padding; width images a row."""
    t = max(len(r.ids) for r in rows)
    n = max(1, width)
    ids = torch.zeros(len(rows), t, dtype=torch.long)
    attention, target = torch.zeros_like(ids), torch.full_like(ids, -100)
    weight = torch.zeros(len(rows), t)
    images, see = torch.zeros(len(rows), n, dtype=torch.long), torch.zeros(len(rows), t, n)
    for r, row in enumerate(rows):
        k = len(row.ids)
        ids[r, :k] = torch.tensor(row.ids)
        attention[r, :k] = 1
        # position p predicts token p + 1
        target[r, : k - 1] = torch.tensor([x if m else -100 for x, m in zip(row.ids[1:], row.weight[1:])])
        weight[r, : k - 1] = torch.tensor(row.weight[1:])
        images[r, : len(row.images)] = torch.tensor(row.images, dtype=torch.long)
        for p, j in enumerate(image_of_token(row.ids)):
            if 0 <= j < n:
                see[r, p, j] = 1
    names = [(r, p) for r, row in enumerate(rows) for p, _ in row.asked]
    labels = [label for row in rows for _, label in row.asked]
    return Group(ids, attention, target, weight, images, see, torch.tensor(names).view(-1, 2), torch.tensor(labels).view(-1, 4))


def draw_groups(tok, scenes, rng: random.Random, dialogues, shots):
    """Text for a batch of scenes: dialogues and base-style rows in three length buckets, and few-shot rows."""
    single, order = [], []
    while len(order) < dialogues:  # every scene as often as the others
        order += rng.sample(range(len(scenes)), len(scenes))
    for k in order[:dialogues]:
        u = rng.random()
        if u < 0.02:
            e = L.small_talk(rng)
        elif u < 0.14:
            e = L.base_style(rng, scenes[k], k)
        else:
            e = L.dialogue(rng, scenes[k], k)
        single.append(encode(tok, e, scenes[k].things))
    single.sort(key=lambda r: len(r.ids))
    cuts = [0, dialogues * 4 // 10, dialogues * 3 // 4, dialogues]
    groups = [collate(single[a:b], 1) for a, b in zip(cuts, cuts[1:])]
    ones = [i for i, s in enumerate(scenes) if len(s.things) == 1]
    if shots and len(ones) >= 4:
        rows = []
        for _ in range(shots):
            pick = rng.sample(ones, rng.choice((3, 3, 4)))
            rows.append(encode(tok, L.few_shot(rng, [scenes[i] for i in pick], pick)[0]))
        groups.append(collate(rows, 4))
    return groups


class TextLoss:
    """Losses of text about latents: the answers, and what the names in the questions found."""

    def __init__(self, net, pointer, tok):
        self.net, self.pointer, self.tapped = net, pointer, None
        net.model.layers[0].register_forward_hook(self._tap)
        piece = lambda w: tok(w, add_special_tokens=False)["input_ids"][0]
        self.watched = {"yes/no": [piece("yes"), piece("no")], "left/right": [piece("left"), piece("right")], "where": [piece("at"), piece("in")]}

    def _tap(self, module, inputs, output):
        self.tapped = output[0] if isinstance(output, tuple) else output

    def __call__(self, latents, groups):
        """-> (weighted mean cross-entropy over all learned tokens, the pointer's loss, shares predicted right by kind of token)."""
        total, weights, states, labels, right = 0.0, 0.0, [], [], []
        for g in groups:
            hidden = self.net.model(
                input_ids=g.ids, attention_mask=g.attention, perceiver_embeddings=latents[g.images], image_attention_mask=g.see, use_cache=False
            ).last_hidden_state
            keep = g.target != -100
            logits = self.net.lm_head(hidden[keep]).float()
            if logits.shape[-1] != PIECES + EXTRA:
                raise ValueError("the head does not cover the additional vocabulary")
            goal, weight = g.target[keep], g.weight[keep]
            total = total + (weight * torch.nn.functional.cross_entropy(logits, goal, reduction="none")).sum()
            weights += float(weight.sum())
            right.append(torch.stack([goal, (logits.argmax(-1) == goal).long()]))
            if len(g.names):
                states.append(self.tapped[g.names[:, 0], g.names[:, 1]])
                labels.append(g.labels)
        found, found_right = self.pointer.loss(torch.cat(states), torch.cat(labels))
        goal, hit = torch.cat(right, 1)
        shares = {"all": float(hit.float().mean())}
        for name, ids in self.watched.items():
            of = torch.isin(goal, torch.tensor(ids))
            shares[name] = float(hit[of].float().mean()) if bool(of.any()) else 0.0
        return total / weights, found, shares | dict(zip(("present", "rank", "third_x", "third_y"), found_right))
