"""Muon for the hidden matrices, AdamW for all else.

Muon replaces the momentum of a weight matrix by the nearest (semi-)orthogonal matrix, found with a few Newton-Schulz
steps (Jordan et al. 2024). Matrices of one shape are handled in one batched product.
"""
import torch


def orthogonalise(g, steps=5):
    """Batch [n, r, c] -> approximately orthogonal matrices; bf16 inside."""
    x = g.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    x = x / (x.norm(dim=(1, 2), keepdim=True) * 1.02 + 1e-7)
    for _ in range(steps):
        a = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x.transpose(1, 2) if tall else x).float()


class Muon(torch.optim.Optimizer):
    def __init__(self, groups, lr=0.02, momentum=0.95, weight_decay=0.01):
        super().__init__(groups, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = {}
            for p in group["params"]:
                if p.grad is not None:
                    shapes.setdefault(p.shape, []).append(p)
            for shape, ps in shapes.items():
                for p in ps:
                    if "momentum" not in self.state[p]:
                        self.state[p]["momentum"] = torch.zeros_like(p)
                grads, bufs = [p.grad for p in ps], [self.state[p]["momentum"] for p in ps]
                torch._foreach_lerp_(bufs, grads, 1 - group["momentum"])
                torch._foreach_lerp_(grads, bufs, group["momentum"])  # Nesterov; the gradient is not needed any more
                updates = orthogonalise(torch.stack(grads))
                scale = group["lr"] * max(1, shape[0] / shape[1]) ** 0.5
                torch._foreach_mul_(ps, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(ps, list(updates.unbind()), alpha=-scale)


class Both:
    """The two optimisers behind one face; rates are set as a share of each group's base rate."""

    def __init__(self, modules):
        """modules: {"vision": [modules], ...}; each name is a separately scheduled set."""
        muon, adam = [], []
        for role, mods in modules.items():
            matrices, other, patch = [], [], []
            for m in mods:
                for name, p in m.named_parameters():
                    if not p.requires_grad:
                        continue
                    if "patch_embedding" in name:
                        patch.append(p)
                    elif p.ndim == 2 and not any(k in name for k in ("embed", "lm_head", "latents")) and role != "heads":
                        matrices.append(p)
                    else:
                        other.append(p)
            for dst, ps, lr in ((muon, matrices, 0.02), (adam, other, 2e-3), (adam, patch, 2e-4)):
                if ps:
                    dst.append(dict(params=ps, lr=lr, base=lr, role=role))
        self.parts = [torch.optim.AdamW(adam, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)]
        if muon:
            self.parts.append(Muon(muon))

    def step(self, share):
        """share: {"vision": multiplier, ...}"""
        for part in self.parts:
            for g in part.param_groups:
                g["lr"] = g["base"] * share[g["role"]]
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self):
        return [p.state_dict() for p in self.parts]

    def load_state_dict(self, states):
        for p, s in zip(self.parts, states):
            p.load_state_dict(s)
