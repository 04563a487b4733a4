"""The demo model's shape, its initialisation for training from scratch, and the auxiliary heads.

The network is transformers' `IdeficsForVisionText2Text` unchanged. The heads exist in training only.
"""
import math

import torch
from torch import nn
from transformers import IdeficsConfig, IdeficsForVisionText2Text
from transformers.masking_utils import AttentionMaskInterface, eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from objects import SHAPES
from scenes import COLUMNS

PIECES, EXTRA = 2048, 3
LATENTS, SLOTS, REGIONS = 24, 3, 16  # latents 0-2: objects from the left; 3: the scene; 4-19: a 4x4 grid; 20-23: free
WIDTH = 256


def config():
    return IdeficsConfig(
        vocab_size=PIECES, additional_vocab_size=EXTRA, hidden_size=WIDTH, intermediate_size=512, num_hidden_layers=4,
        num_attention_heads=8, cross_layer_interval=2, qk_layer_norms=True, rms_norm_eps=1e-6, dropout=0.0, hidden_act="silu",
        alpha_type="float", alpha_initializer="ones", alphas_initializer_range=0.0, tie_word_embeddings=False,
        use_resampler=True, freeze_text_layers=False, freeze_vision_layers=False, freeze_lm_head=False,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, max_position_embeddings=2048, max_sequence_length=2048,
        cross_layer_activation_function="swiglu",
        vision_config=dict(
            embed_dim=WIDTH, intermediate_size=768, num_hidden_layers=5, num_attention_heads=8, hidden_act="gelu",
            image_size=224, patch_size=28),
        perceiver_config=dict(
            use_resampler=True, resampler_n_latents=LATENTS, resampler_depth=2, resampler_n_heads=8,
            resampler_head_dim=32, qk_layer_norms_perceiver=True),
    )  # fmt: skip


def initialise(model, seed=0):
    """Variance-preserving weights, small residual outputs, distinct latents and strong position embeddings."""
    g = torch.Generator().manual_seed(seed)
    normal = lambda p, std: p.copy_(torch.randn(p.shape, generator=g) * std)
    c = model.config
    depth = {"vision": c.vision_config.num_hidden_layers, "perceiver": c.perceiver_config.resampler_depth}
    with torch.no_grad():
        for name, p in model.named_parameters():
            leaf = name.split(".")[-2]
            if "alpha_" in name:
                p.fill_(1.0)
            elif "norm" in leaf or leaf == "ln" or leaf == "pre_layrnorm":
                p.fill_(1.0 if name.endswith("weight") else 0.0)
            elif name.endswith("bias"):
                p.zero_()
            elif "position_embedding" in name:
                normal(p, 0.7)
            elif name.endswith("latents") or "class_embedding" in name:
                normal(p, 1.0)
            elif "embed_tokens" in name:
                normal(p, 0.5)
            elif "lm_head" in name:
                normal(p, 0.5 / math.sqrt(p.shape[-1]))
            else:
                fan_in = p[0].numel()
                out = leaf in ("out_proj", "o_proj", "output_proj", "fc2", "c_proj", "down_proj")
                layers = next((d for k, d in depth.items() if k in name), c.num_hidden_layers)
                normal(p, (1 / math.sqrt(2 * layers) if out else 1.0) / math.sqrt(fan_in))
    return model


def fit_patch_embedding(model, x):
    """Start the patch embedding from the principal components of real patches, with unit output variance."""
    w = model.model.vision_model.embeddings.patch_embedding.weight
    x = x.float().reshape(-1, w[0].numel())
    x = x - x.mean(0)
    _, s, v = torch.svd_lowrank(x, q=w.shape[0], niter=4)
    std = s / math.sqrt(len(x))
    floor = std[0] * 0.02
    g = torch.Generator().manual_seed(5)
    mix, _ = torch.linalg.qr(torch.randn(len(w), len(w), generator=g))
    with torch.no_grad():
        w.copy_((mix @ (v / torch.maximum(std, floor)).T).reshape(w.shape))


def tower(net, patches, keep=None):
    """Patches [n, k, 3·28·28] -> vision states [n, 1 + k, width] and latents [n, 24, width], without the slow convolution.

    keep [n, k]: which of the 64 places the patches have; the others are left out (patch dropout). All 64 without it.
    """
    vision = net.model.vision_model
    e = vision.embeddings
    w = e.patch_embedding.weight
    where = e.position_embedding.weight
    where = where[1:].unsqueeze(0) if keep is None else where[1:][keep]
    x = nn.functional.linear(patches, w.flatten(1))
    first = (e.class_embedding + e.position_embedding.weight[0]).to(x.dtype)
    x = torch.cat([first.expand(len(x), 1, -1), x + where.to(x.dtype)], 1)
    x = vision.pre_layrnorm(x)
    for layer in vision.encoder.layers:
        x = layer(x, None, None)[0]
    return x, net.model.perceiver_resampler(x)


class Heads(nn.Module):
    """Linear read-outs of the label columns from patches and from latents."""

    def __init__(self, width=WIDTH):
        super().__init__()
        total = sum(COLUMNS)
        self.patch_norm, self.latent_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.patch = nn.Linear(width, total)
        self.latent = nn.Linear(width, total)

    def losses(self, kind, states, labels):
        """states [..., width], labels [..., columns] -> (weighted sum of the cross-entropies, accuracies per column)."""
        logits = getattr(self, kind)(getattr(self, kind + "_norm")(states)).flatten(0, -2).float()
        labels = labels.flatten(0, -2).long()
        total, accuracy = 0.0, []
        for i, (part, column, w) in enumerate(zip(logits.split(COLUMNS, -1), labels.unbind(-1), WEIGHTS)):
            seen = column != -100
            if not bool(seen.any()):
                accuracy.append(0.0)
                continue
            total = total + w * nn.functional.cross_entropy(part, column, None if i else CLASS_WEIGHTS, ignore_index=-100)
            with torch.no_grad():
                if i == 0:
                    seen = seen & (column > 0)  # naming is judged on objects, not on nothing
                accuracy.append(float((part.argmax(-1) == column)[seen].float().mean()) if bool(seen.any()) else 0.0)
        return total, accuracy


# What a name in a question is about: is it there, its rank from the left, its third from the left and from the top.
ASKED = (2, 3, 3, 3)


class Pointer(nn.Module):
    """A linear read-out, from the state of an object's name in a question, of what the image shows of that object.

    It teaches the first cross-attention to bring to the name what "where", "is there" and "left or right" are about.
    """

    def __init__(self, width=WIDTH):
        super().__init__()
        self.norm, self.read = nn.LayerNorm(width), nn.Linear(width, sum(ASKED))

    def loss(self, states, labels):
        """states [n, width], labels [n, 4] (-100: nothing to say) -> (mean of the cross-entropies, accuracies)."""
        logits = self.read(self.norm(states)).float()
        total, accuracy = 0.0, []
        for part, column in zip(logits.split(ASKED, -1), labels.unbind(-1)):
            seen = column != -100
            if not bool(seen.any()):
                accuracy.append(0.0)
                continue
            total = total + nn.functional.cross_entropy(part, column, ignore_index=-100)
            accuracy.append(float((part.argmax(-1) == column)[seen].float().mean()))
        return total / len(ASKED), accuracy


# Circle and square, cross and ring are told apart late: their outlines are all there is to see.
CLASS_WEIGHTS = torch.ones(COLUMNS[0])
CLASS_WEIGHTS[-len(SHAPES) :] = 2.5
WEIGHTS = (1.0, 0.3, 0.4, 0.2, 0.2, 0.3, 0.2, 0.2, 0.05, 0.05)


def build(seed=0, folder=None):
    """A fresh network, or the one of a checkpoint folder to go on from."""
    if folder:
        return IdeficsForVisionText2Text.from_pretrained(folder, dtype=torch.float32)
    return initialise(IdeficsForVisionText2Text(config()), seed)


def plain_attention(module, query, key, value, attention_mask, scaling, dropout=0.0, is_causal=None, **_):
    """Attention as three plain matrix operations: for short sequences on a CPU the fused kernel's backward is slower."""
    b, h, t, d = query.shape
    if is_causal is None:
        is_causal = attention_mask is None and getattr(module, "is_causal", False)
    scores = torch.bmm((query * scaling).reshape(b * h, t, d), key.reshape(b * h, -1, d).transpose(1, 2))
    scores = scores.view(b, h, t, -1)
    if attention_mask is not None:
        scores = scores + attention_mask[..., : scores.shape[-1]]
    elif is_causal and t > 1:
        scores = scores + torch.full((t, t), torch.finfo(scores.dtype).min, dtype=scores.dtype).triu(1)
    p = scores.softmax(-1).to(value.dtype)
    out = torch.bmm(p.view(b * h, t, -1), value.reshape(b * h, -1, d)).view(b, h, t, d)
    return out.transpose(1, 2).contiguous(), None


ALL_ATTENTION_FUNCTIONS.register("plain", plain_attention)
AttentionMaskInterface.register("plain", eager_mask)


def use_plain_attention(net):
    net.config._attn_implementation = net.config.vision_config._attn_implementation = "plain"
