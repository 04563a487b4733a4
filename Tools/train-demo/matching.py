"""A start for "where is the cat?": names point at the latents that show them.

The auxiliary head already holds one direction per class in the latents' space. Half of the heads of the first
cross-attention block get these directions as keys, and the embeddings of the name pieces get them as queries, so that a
name attends to the latent of its object from the first step. Training is free to move all of it.
"""
import torch

from objects import class_names

HEADS, SIZE = 4, 32  # the last four heads of eight
SHARPER = 1.35  # of the q/k norms: puts three quarters of the attention on the right latents instead of half


def class_directions(heads, classes):
    """[classes, width]: each class against the mean class, in the latents' coordinates, as unit-RMS rows."""
    w = heads.latent.weight[1 : classes + 1].detach() * heads.latent_norm.weight.detach()
    return w - w.mean(0)


@torch.no_grad()
def point_names_at_latents(net, heads, tok):
    names = class_names()
    w = class_directions(heads, len(names))
    basis = torch.linalg.svd(w, full_matrices=False).Vh[: HEADS * SIZE]  # orthonormal rows
    code = w @ basis.T @ basis
    code = code / code.pow(2).mean(1, keepdim=True).sqrt()
    pieces = {}
    for c, name in enumerate(names):
        for t in tok(name, add_special_tokens=False)["input_ids"]:
            pieces.setdefault(t, []).append(code[c])
    table = net.model.embed_tokens.weight
    for t, rows in pieces.items():
        mean = torch.stack(rows).mean(0)
        mean = mean / mean.pow(2).mean().sqrt()
        table[t] = 0.4 * table[t] + 0.6 * mean
    cross = net.model.gated_cross_attn_layers[0].cross_attn
    # every head sees a random quarter of the basis' energy: mix it, or the first head would take all of the variance
    mix = torch.linalg.qr(torch.randn(len(basis), len(basis), generator=torch.Generator().manual_seed(3)))[0]
    for p in (cross.q_proj.weight, cross.k_proj.weight):
        p[-HEADS * SIZE :] = mix @ basis
    cross.q_layer_norm.weight.mul_(SHARPER)
    cross.k_layer_norm.weight.mul_(SHARPER)
    return code
