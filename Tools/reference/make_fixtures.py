#!/usr/bin/env python3
"""Makes the fixtures of Tests/Fixtures from the reference implementation, transformers.

    python3 -m venv .venv && .venv/bin/pip install -r Tools/reference/requirements.txt
    OMP_NUM_THREADS=1 .venv/bin/python Tools/reference/make_fixtures.py Tests/Fixtures

The 512-piece vocabulary (a cut of LLaMA's: specials, bytes, printable ASCII, first merges) is read from the
fixtures' own tokenizer/micro/tokenizer.model. Everything else is made anew, seeded; all reference numbers are float32
on CPU with eager attention. transformers 4.57.6 and 5.23.0 agree on all of it; pillow must be < 13 (13 changed the
order of the resize passes).

Layout written:
  tokenizer/micro/, tokenizer/cases.json   tokenizer files; text -> ids -> decoded text
  images/                                  image files in the formats and pixel modes that a server meets
  images/expected.safetensors              with --expected: NAME/rgb, NAME/resized [224,224,3] u8, NAME/pixel_values
  models/micro/, models/micro-sharded/     checkpoint; the same in shards with the extra buffers of published files
  cases/micro/CASE.{json,safetensors}      inputs, intermediate activations, logits, greedy generation
  adapters/micro/                          a PEFT LoRA adapter and its expected logits and generation
  sampling.{json,safetensors}              logits processors: input logits and expected outputs
"""
import argparse
import json
import math
import os
import shutil
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import PIL
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    IdeficsConfig,
    IdeficsForVisionText2Text,
    IdeficsImageProcessor,
    IdeficsProcessor,
    LlamaTokenizerFast,
)

FAKE, IMAGE, EOU = "<fake_token_around_image>", "<image>", "<end_of_utterance>"
torch.set_grad_enabled(False)
torch.set_num_threads(1)


def dump_json(path, obj):
    with open(path, "w", encoding="utf-8") as fh:
        json.dump(obj, fh, ensure_ascii=False, indent=1)
        fh.write("\n")


# --------------------------------------------------------------------------------------------- tokenizer


def read_vocabulary(path):
    from sentencepiece import sentencepiece_model_pb2 as pb

    m = pb.ModelProto()
    m.ParseFromString(open(path, "rb").read())
    return [p.piece for p in m.pieces], [p.score for p in m.pieces], [p.type for p in m.pieces]


def write_sp_model(tokens, scores, types, path):
    from sentencepiece import sentencepiece_model_pb2 as pb

    m = pb.ModelProto()
    for t, s, k in zip(tokens, scores, types):
        p = m.pieces.add()
        p.piece, p.score = t, s
        if k != 1:  # 1 = NORMAL is the default; 2 UNKNOWN, 3 CONTROL, 6 BYTE
            p.type = k
    ts, ns = m.trainer_spec, m.normalizer_spec
    ts.model_type = pb.TrainerSpec.BPE
    ts.vocab_size = len(tokens)
    ts.byte_fallback = ts.split_digits = ts.allow_whitespace_only_pieces = True
    ts.character_coverage = 0.99995
    ts.unk_id, ts.bos_id, ts.eos_id, ts.pad_id = 0, 1, 2, -1
    ns.name, ns.add_dummy_prefix, ns.remove_extra_whitespaces = "identity", True, False
    with open(path, "wb") as fh:
        fh.write(m.SerializeToString())


def build_tokenizer(vocab, outdir, extra):
    from tokenizers import AddedToken

    os.makedirs(outdir, exist_ok=True)
    sp = os.path.join(outdir, "tokenizer.model")
    write_sp_model(*vocab, sp)
    # add_prefix_space=True puts Prepend(U+2581) in the normalizer, as in the published tokenizer.json
    fast = LlamaTokenizerFast(
        vocab_file=sp, legacy=True, add_prefix_space=True, model_max_length=2048, pad_token="<unk>", padding_side="left"
    )
    fast.add_special_tokens(
        {"additional_special_tokens": [AddedToken(t, special=True, normalized=False) for t in extra]}
    )
    for i, t in enumerate(extra):
        assert fast.convert_tokens_to_ids(t) == len(vocab[0]) + i
    fast.save_pretrained(outdir)
    p = os.path.join(outdir, "tokenizer.json")  # merges as strings, the layout of the published files
    t = json.load(open(p, encoding="utf-8"))
    t["model"]["merges"] = [m if isinstance(m, str) else " ".join(m) for m in t["model"]["merges"]]
    dump_json(p, t)
    p = os.path.join(outdir, "tokenizer_config.json")
    c = json.load(open(p, encoding="utf-8"))
    c.pop("add_prefix_space", None)
    c["padding_side"] = "left"
    dump_json(p, c)
    return LlamaTokenizerFast.from_pretrained(outdir)


TOKENIZER_TEXTS = [
    "", " ", "  ", "\n", " \n", "a", "Hello world", " Hello world", "Hello  world ", "User: What is this?", "<s>User:",
    "<s> User:", "<s>\n", f"<s>{FAKE}{IMAGE}{FAKE}Question: how many? Answer:", f"<s>User:{FAKE}{IMAGE}{FAKE}Can you tell me",
    f"<s>User: hi{EOU}\nAssistant:", f"<s>User: hi{EOU} \nAssistant: A{EOU}\n", "</s>", "x</s>y", "<s><s>", "<unk>", "a<unk>b",
    "1234567890 3.14", "\u00e9\u00e0\u00fc \u4f60\u597d \U0001f680 \u0645\u0631\u062d\u0628\u0627", "tab\tnewline\n\n end", "\u2581under\u2581score",
    "don't  can't", "http://example.org/a.png", "< image>", "<IMAGE>", f"{IMAGE} {IMAGE}", "\x00\x01", "\u200b zero", "A" * 40,
]  # fmt: skip


def tokenizer_cases(toks):
    out = {}
    for name, tok in toks.items():
        rows = []
        for text in TOKENIZER_TEXTS:
            ids = tok(text, add_special_tokens=False)["input_ids"]
            rows.append(
                {
                    "text": text,
                    "ids": ids,
                    "ids_with_bos": tok(text)["input_ids"],
                    "tokens": tok.convert_ids_to_tokens(ids),
                    "decoded": tok.decode(ids),
                    "decoded_skip_special": tok.decode(ids, skip_special_tokens=True),
                }
            )
        out[name] = rows
    return out


# ------------------------------------------------------------------------------------------------ images


def make_images(outdir):
    """Small deterministic images in the file formats and pixel modes that a server meets."""
    os.makedirs(outdir, exist_ok=True)

    def scene(w, h, seed, channels=3):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[0:h, 0:w].astype(np.float64)
        a = np.zeros((h, w, channels))
        for c in range(channels):
            fx, fy, ph = rng.uniform(0.5, 6, 3)
            a[..., c] = 127.5 + 120 * np.sin(2 * np.pi * (fx * x / w + fy * y / h) + ph)
        for _ in range(6):
            cx, cy, r = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0.05, 0.25) * min(w, h)
            a[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = rng.uniform(0, 255, channels)
        return np.clip(np.rint(a + rng.normal(0, 6, a.shape)), 0, 255).astype(np.uint8)

    def alpha_ramp(w, h):
        y, x = np.mgrid[0:h, 0:w]
        return ((x * 255 // max(w - 1, 1) + y * 3) % 256).astype(np.uint8)

    f = lambda n: os.path.join(outdir, n)
    Image.fromarray(scene(320, 200, 1)).save(f("rgb_320x200.png"))
    Image.fromarray(scene(97, 301, 2)).save(f("rgb_97x301.png"))
    Image.fromarray(scene(224, 224, 3)).save(f("rgb_224x224.png"))
    Image.fromarray(scene(224, 50, 4)).save(f("rgb_224x50.png"))
    Image.fromarray(scene(7, 5, 5)).save(f("rgb_7x5.png"))
    Image.fromarray(scene(2, 2, 6)).save(f("rgb_2x2.png"))  # height 1 or 3 is misread as channels-first by HF
    Image.fromarray(scene(700, 30, 7)).save(f("rgb_700x30.png"))
    Image.fromarray(scene(400, 300, 8)).save(f("photo_q90_444.jpg"), quality=90, subsampling=0)
    Image.fromarray(scene(301, 401, 9)).save(f("photo_q75_420.jpg"), quality=75, subsampling=2)
    Image.fromarray(scene(200, 150, 10)).save(f("photo_progressive.jpg"), quality=80, progressive=True)
    Image.fromarray(scene(160, 120, 11)[..., 0]).save(f("gray.jpg"), quality=85)
    Image.fromarray(scene(150, 100, 12)[..., 0]).save(f("gray_l.png"))
    rgba = np.dstack([scene(180, 140, 13), alpha_ramp(180, 140)])
    Image.fromarray(rgba).save(f("rgba.png"))
    la = np.dstack([scene(90, 120, 14)[..., 0], alpha_ramp(90, 120)])
    Image.fromarray(la).save(f("la.png"))
    pal = Image.fromarray(scene(128, 96, 15)).quantize(32)
    pal.save(f("palette.png"))
    pal.save(f("palette_transparency.png"), transparency=bytes([(i * 8) % 256 for i in range(32)]))
    pal.save(f("palette.gif"), transparency=3)
    Image.fromarray(scene(64, 64, 16)[..., 0] > 128).convert("1").save(f("bilevel.png"))
    Image.fromarray(scene(120, 80, 17)).save(f("lossless.webp"), lossless=True)
    return sorted(os.listdir(outdir))


def convert_to_rgb(im):
    """What the processor does with a PIL image: RGB is untouched, all else is laid over opaque white."""
    if im.mode == "RGB":
        return im
    rgba = im.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255)), rgba).convert("RGB")


def bicubic_coefficients(n_in, n_out):
    """Per output sample: first input index and 22-bit fixed-point weights (Pillow's BICUBIC, a = -1/2)."""
    def cubic(x, a=-0.5):
        x = abs(x)
        if x < 1:
            return ((a + 2) * x - (a + 3)) * x * x + 1
        return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0

    scale = n_in / n_out
    fscale = max(scale, 1.0)
    support, rows = 2.0 * fscale, []
    for i in range(n_out):
        center = (i + 0.5) * scale
        lo = max(int(center - support + 0.5), 0)
        hi = min(int(center + support + 0.5), n_in)
        w = [cubic((k + lo - center + 0.5) * (1.0 / fscale)) for k in range(hi - lo)]
        s = sum(w)
        w = [v * (1.0 / s) if s != 0 else v for v in w]
        rows.append((lo, [int(v * (1 << 22) + (0.5 if v >= 0 else -0.5)) for v in w]))
    return rows


def bicubic_reference(a, size=224):
    """Plain re-implementation of Image.resize((size, size), BICUBIC) for uint8 HxWx3, used to check the spec."""
    def one_axis(a, axis):
        if a.shape[axis] == size:
            return a
        a = np.moveaxis(a, axis, 0).astype(np.int64)
        out = np.empty((size,) + a.shape[1:], np.uint8)
        for i, (lo, w) in enumerate(bicubic_coefficients(a.shape[0], size)):
            acc = np.full(a.shape[1:], 1 << 21, np.int64)
            for k, v in enumerate(w):
                acc += a[lo + k] * v
            out[i] = np.clip(acc >> 22, 0, 255)
        return np.moveaxis(out, 0, axis)

    return one_axis(one_axis(a, 1), 0)  # horizontal first, rounded to 8 bits, then vertical


def over_white_reference(rgb, alpha):
    """Pillow's 8-bit alpha_composite over opaque white, per channel."""
    rgb, alpha = rgb.astype(np.int64), alpha.astype(np.int64)
    t = (rgb * alpha + 255 * (255 - alpha)) * 128 + (128 << 7)
    return np.where(alpha == 0, 255, (((t >> 8) + t) >> 8) >> 7).astype(np.uint8)


FULL_PIXELS = ("rgb_320x200.png", "rgba.png", "photo_q75_420.jpg")  # elsewhere resized + normalisation suffice


def image_expectations(imgdir, names, ip):
    t, notes = {}, {}
    for n in names:
        im = Image.open(os.path.join(imgdir, n))
        rgb = np.array(convert_to_rgb(im))
        resized = np.array(Image.fromarray(rgb).resize((224, 224), Image.BICUBIC))
        pv = ip([im], return_tensors="pt")[0]
        if not np.array_equal(bicubic_reference(rgb), resized):
            sys.exit(f"{n}: Pillow {PIL.__version__} does not resize horizontally first; use Pillow < 13")
        mean = np.array(ip.image_mean, np.float32)
        std = np.array(ip.image_std, np.float32)
        x = (resized.astype(np.float64) * (1 / 255)).astype(np.float32)
        assert np.array_equal(((x - mean) / std).transpose(2, 0, 1), pv.numpy()), n
        t[n + "/rgb"] = torch.from_numpy(rgb.copy())
        t[n + "/resized"] = torch.from_numpy(resized.copy())
        if n in FULL_PIXELS:
            t[n + "/pixel_values"] = pv.contiguous()
        notes[n] = {"mode": im.mode, "format": im.format, "size": list(im.size)}
    v, a = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    im = Image.fromarray(np.dstack([v, v, v, a]))
    got = np.array(convert_to_rgb(im))[..., 0]
    assert np.array_equal(got, over_white_reference(v, a))
    t["over_white_table[alpha,value]"] = torch.from_numpy(got.copy())
    return t, notes


# ------------------------------------------------------------------------------------------------ models

V = lambda e, i, l, h, act="gelu": dict(
    embed_dim=e, intermediate_size=i, num_hidden_layers=l, num_attention_heads=h, hidden_act=act, image_size=224, patch_size=14
)
P = lambda use, n, d, h, hd, qk: dict(
    use_resampler=use, resampler_n_latents=n, resampler_depth=d, resampler_n_heads=h, resampler_head_dim=hd, qk_layer_norms_perceiver=qk
)
MODELS = {
    # 512-piece vocabulary: small enough to keep in a repository
    "micro": dict(
        tok="micro", dtype=torch.float32, seed=11, hidden_size=64, intermediate_size=128, num_hidden_layers=4, num_attention_heads=4,
        cross_layer_interval=2, qk_layer_norms=True, rms_norm_eps=1e-6, alpha_type="float", additional_vocab_size=3, vocab_size=512,
        vision_config=V(64, 128, 2, 4), perceiver_config=P(True, 8, 2, 2, 32, True)),
}  # fmt: skip
PUBLISHED_ONLY = dict(cross_layer_activation_function="swiglu", max_sequence_length=2048, max_position_embeddings=2048)


def build_config(spec):
    kw = {k: v for k, v in spec.items() if k not in ("tok", "dtype", "seed")}
    return IdeficsConfig(
        use_resampler=kw["perceiver_config"]["use_resampler"], alpha_initializer="zeros", freeze_text_layers=False,
        freeze_vision_layers=False, freeze_lm_head=False, dropout=0.0, hidden_act="silu", tie_word_embeddings=False,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, **PUBLISHED_ONLY, **kw)  # fmt: skip


def init_weights(model, seed):
    """Weights big enough that every term matters and that greedy choices are not near-ties."""
    g = torch.Generator().manual_seed(seed)
    n = lambda p: torch.randn(p.shape, generator=g)
    u = lambda p: torch.rand(p.shape, generator=g)
    for name, p in sorted(model.named_parameters()):
        leaf = name.split(".")[-2] if "." in name else name
        if "alpha_" in name:
            p.copy_((u(p) * 2 - 1) * 1.2)
        elif "norm" in leaf or leaf in ("ln", "pre_layrnorm"):
            p.copy_(0.6 + 0.8 * u(p) if name.endswith("weight") else 0.2 * n(p))
        elif name.endswith(".bias"):
            p.copy_(0.1 * n(p))
        elif "embed_tokens" in name or "position_embedding" in name:
            p.copy_(0.7 * n(p))
        elif name.endswith(("latents", "class_embedding")):
            p.copy_(n(p))
        elif "lm_head" in name:
            p.copy_(n(p) * (4.0 / math.sqrt(p.shape[-1])))
        else:
            p.copy_(n(p) * (1.3 / math.sqrt(p[0].numel())))


def save_sharded(model_dir, out_dir, config):
    """The same tensors in several files, plus the buffers that the published checkpoints carry."""
    os.makedirs(out_dir, exist_ok=True)
    for f in os.listdir(model_dir):
        if not f.endswith(".safetensors"):
            shutil.copy(os.path.join(model_dir, f), out_dir)
    t = load_file(os.path.join(model_dir, "model.safetensors"))
    hd = config.hidden_size // config.num_attention_heads
    inv = 1.0 / (10000.0 ** (torch.arange(0, hd, 2).float() / hd))
    for i in range(config.num_hidden_layers):
        t[f"model.layers.{i}.self_attn.rotary_emb.inv_freq"] = inv.clone()
    for i in range(config.num_hidden_layers // config.cross_layer_interval):
        t[f"model.gated_cross_attn_layers.{i}.cross_attn.rotary_emb.inv_freq"] = inv.clone()
    t["model.vision_model.embeddings.position_ids"] = torch.arange(257).unsqueeze(0)
    names = sorted(t)
    total = sum(x.numel() * x.element_size() for x in t.values())
    shards, cur, size = [], {}, 0
    for n in names:
        b = t[n].numel() * t[n].element_size()
        if cur and size + b > total / 4:
            shards.append(cur)
            cur, size = {}, 0
        cur[n], size = t[n], size + b
    shards.append(cur)
    wm = {}
    for i, s in enumerate(shards):
        fn = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        save_file(s, os.path.join(out_dir, fn), metadata={"format": "pt"})
        wm.update({n: fn for n in s})
    dump_json(os.path.join(out_dir, "model.safetensors.index.json"), {"metadata": {"total_size": total}, "weight_map": wm})


def build_model(name, spec, outdir, tokdir):
    d = os.path.join(outdir, name)
    model = IdeficsForVisionText2Text(build_config(spec))
    init_weights(model, spec["seed"])
    model.to(spec["dtype"]).save_pretrained(d)
    tok_src = os.path.join(tokdir, spec["tok"])
    for f in os.listdir(tok_src):
        shutil.copy(os.path.join(tok_src, f), d)
    ip = IdeficsImageProcessor()
    dump_json(
        os.path.join(d, "preprocessor_config.json"),
        {"image_num_channels": 3, "image_mean": ip.image_mean, "image_processor_type": "IdeficsImageProcessor", "image_size": 224,
         "image_std": ip.image_std, "processor_class": "IdeficsProcessor"})  # fmt: skip
    dump_json(
        os.path.join(d, "generation_config.json"),
        {"_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "transformers_version": "4.32.0.dev0"})
    model = IdeficsForVisionText2Text.from_pretrained(d, dtype=torch.float32, attn_implementation="eager").eval()
    proc = IdeficsProcessor(IdeficsImageProcessor(), LlamaTokenizerFast.from_pretrained(d))
    return model, proc, d


# ------------------------------------------------------------------------------------------------- cases


def T(s):
    return {"text": s}


def I(f):
    return {"image": f}


BASE_CASES = {
    "text_only": dict(prompts=[[T("Question: What is the capital of France? Answer:")]]),
    "one_image": dict(prompts=[[I("rgb_320x200.png"), T("Question: What's on the picture? Answer:")]]),
    "text_before_image": dict(prompts=[[T("User:"), I("rgba.png"), T("Describe this image.\nAssistant:")]]),
    "two_consecutive_images": dict(prompts=[[T("Compare"), I("photo_q90_444.jpg"), I("la.png"), T("these two:")]]),
    "three_images_few_shot": dict(prompts=[[
        T("Instruction: caption.\nImage:"), I("rgb_97x301.png"), T("Caption: a cat\nImage:"), I("palette_transparency.png"),
        T("Caption: a dog\nImage:"), I("gray_l.png"), T("Caption:")]]),
    "eos_in_prompt": dict(prompts=[[I("rgb_7x5.png"), T("one</s>two"), I("rgb_224x224.png"), T("three</s>")]]),
    "batch_left_padding": dict(prompts=[
        [T("User:"), I("rgb_320x200.png"), T("A rather longer prompt, about"), I("rgba.png"), T("two images. Answer:")],
        [T("short")],
        [I("photo_q75_420.jpg"), T("Caption:")]]),
    "add_eos_token": dict(prompts=[[I("rgb_320x200.png"), T("Caption: done")]], processor=dict(add_eos_token=True)),
}  # fmt: skip
INSTRUCT_CASES = {
    "chat_manual_eou": dict(prompts=[[
        T("User: What is in this image?"), I("rgb_320x200.png"), T(EOU), T("\nAssistant: A dog." + EOU), T("\nUser:"),
        I("rgba.png"), T("And who is that?" + EOU), T("\nAssistant:")]],
        processor=dict(add_end_of_utterance_token=False), eos="eou"),
    "chat_auto_eou": dict(prompts=[[
        T("User: What is in this image?"), I("rgb_320x200.png"), T("  Tell me more. "), T("\nAssistant:")]], eos="eou"),
    "chat_space_before_newline": dict(prompts=[[
        T("User:"), I("rgb_320x200.png"), I("rgba.png"), T(f"Where are they?{EOU} \nAssistant:")]],
        processor=dict(add_end_of_utterance_token=False), eos="eou"),
}  # fmt: skip


def capture_forward(model, inputs, vision):
    """One prefill pass; returns logits and the named intermediate tensors."""
    m, cap, hooks = model.model, {}, []
    first = lambda o: o[0] if isinstance(o, tuple) else o

    def out(mod, key):
        hooks.append(mod.register_forward_hook(lambda _m, _i, o: cap.__setitem__(key, first(o).detach().clone())))

    out(m.embed_tokens, "embed")
    vm = m.vision_model
    if vision:
        out(vm.embeddings, "vision.embeddings")
        out(vm.pre_layrnorm, "vision.pre_layrnorm")
        for i, l in enumerate(vm.encoder.layers):
            out(l, f"vision.layer.{i}")
    if vision and hasattr(m, "perceiver_resampler"):
        for i, (a, f) in enumerate(m.perceiver_resampler.blocks):
            out(a, f"perceiver.block.{i}.attn_out")
            out(f, f"perceiver.block.{i}.mlp_out")
    for i, l in enumerate(m.gated_cross_attn_layers):
        out(l.cross_attn, f"cross.{i}.attn_out_before_gate")
        out(l, f"cross.{i}.out")
    for i, l in enumerate(m.layers):
        out(l, f"layer.{i}.out")
    out(m.norm, "final_norm")

    def grab(_m, _a, kw):
        cap["cross_attention_gate"] = kw["cross_attention_gate"].clone()

    hooks.append(m.gated_cross_attn_layers[0].register_forward_pre_hook(grab, with_kwargs=True))
    hooks.append(
        m.layers[0].register_forward_pre_hook(lambda _m, _a, kw: cap.__setitem__("position_ids", kw["position_ids"].clone()), with_kwargs=True)
    )
    res = model(**inputs, use_cache=False)
    for h in hooks:
        h.remove()
    cap["logits"] = res.logits
    cap["image_hidden_states"] = res.image_hidden_states
    return cap


def greedy(model, inputs, eos, bad, n, check):
    """Greedy generation with the KV cache, on request checked against generation without it."""
    kw = dict(max_new_tokens=n, do_sample=False, num_beams=1, eos_token_id=eos, pad_token_id=0, bad_words_ids=[[b] for b in bad])
    r = model.generate(**inputs, **kw, return_dict_in_generate=True, output_scores=True, output_logits=True)
    if check:
        assert torch.equal(r.sequences, model.generate(**inputs, **kw, use_cache=False)), "cache and no-cache disagree"
    s = torch.stack(r.scores, 1)  # [B, steps, V], bad words at -inf
    top = s.topk(2, -1).values
    return r.sequences, torch.stack(r.logits, 1), (top[..., 0] - top[..., 1])


def run_case(model, proc, name, case, imgdir, outdir, n_new):
    load = lambda it: it["text"] if "text" in it else Image.open(os.path.join(imgdir, it["image"]))
    prompts = [[load(it) for it in p] for p in case["prompts"]]
    inputs = proc(text=prompts, return_tensors="pt", **case.get("processor", {}))
    tok = proc.tokenizer
    cap = capture_forward(model, inputs, name in ("one_image", "two_consecutive_images"))
    base = model.config.vocab_size
    bad = [base, base + 1]
    eos = [base + 2] if case.get("eos") == "eou" else [2]
    seq, step_logits, margin = greedy(model, inputs, eos, bad, n_new, base < 4096)
    L = inputs["input_ids"].shape[1]
    gen = seq[:, L:]
    # the same prompt with an eos that is certain to be met early, to pin down stopping and padding
    early_eos = int(gen[0, 3])
    seq_e, _, _ = greedy(model, inputs, [early_eos], bad, 8, False)
    j = {
        "prompts": case["prompts"],
        "processor_options": case.get("processor", {}),
        "input_ids": inputs["input_ids"].tolist(),
        "attention_mask": inputs["attention_mask"].tolist(),
        "text_of_ids": [tok.decode(x) for x in inputs["input_ids"]],
        "image_attention_mask_shape": list(inputs["image_attention_mask"].shape),
        "attended_image": [[(int(r.argmax()) if r.any() else -1) for r in b] for b in inputs["image_attention_mask"].int()],
        "generation": {
            "max_new_tokens": n_new, "eos_token_id": eos, "bad_words_ids": [[b] for b in bad], "generated_ids": gen.tolist(),
            "text": [tok.decode(x, skip_special_tokens=True) for x in gen],
            "min_top1_top2_margin": [round(float(m), 5) for m in margin.min(1).values]},
        "generation_early_stop": {"max_new_tokens": 8, "eos_token_id": [early_eos], "generated_ids": seq_e[:, L:].tolist()},
    }  # fmt: skip
    cap.update({k: inputs[k] for k in ("input_ids", "attention_mask", "pixel_values")})
    cap["image_attention_mask"] = inputs["image_attention_mask"].to(torch.int64)
    cap["generated_ids"] = gen
    cap["step_logits"] = step_logits
    if base > 4096:  # keep the files small: full logits for the last position only, top 64 elsewhere
        top = cap["logits"].topk(64, -1)
        cap["logits_top64.values"], cap["logits_top64.ids"] = top.values, top.indices
        cap["logits_logsumexp"] = cap["logits"].logsumexp(-1)
        cap["logits_last"] = cap.pop("logits")[:, -1].clone()
        top = cap.pop("step_logits").topk(64, -1)
        cap["step_logits_top64.values"], cap["step_logits_top64.ids"] = top.values, top.indices
    del cap["pixel_values"]  # in images/expected.safetensors, by file name; zeros where a row has fewer images
    dump_json(os.path.join(outdir, name + ".json"), j)
    save_file({k: v.contiguous() for k, v in cap.items()}, os.path.join(outdir, name + ".safetensors"))
    return j


def interpolation_case(model, outdir):
    """interpolate_pos_encoding on a 280x308 input (20 x 22 patches)."""
    g = torch.Generator().manual_seed(5)
    pv = torch.randn(1, 3, 280, 308, generator=g)
    vm = model.model.vision_model
    emb = vm.embeddings(pv, interpolate_pos_encoding=True)
    out = vm(pv, interpolate_pos_encoding=True).last_hidden_state
    save_file({"pixel_values": pv, "vision.embeddings": emb.contiguous(), "vision.out": out.contiguous()},
              os.path.join(outdir, "interpolate_pos_encoding.safetensors"))  # fmt: skip


def lora_case(model_dir, proc, imgdir, outdir):
    from peft import LoraConfig, get_peft_model

    model = IdeficsForVisionText2Text.from_pretrained(model_dir, dtype=torch.float32, attn_implementation="eager").eval()
    pm = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "v_proj"], lora_dropout=0.05, bias="none"))
    g = torch.Generator().manual_seed(77)
    for n, p in sorted(pm.named_parameters()):
        if "lora_" in n:
            p.copy_(torch.randn(p.shape, generator=g) * 0.15)
    pm.eval()
    pm.save_pretrained(outdir)
    os.remove(os.path.join(outdir, "README.md"))
    p = os.path.join(outdir, "adapter_config.json")
    dump_json(p, {**json.load(open(p, encoding="utf-8")), "base_model_name_or_path": "models/micro"})
    prompts = [[Image.open(os.path.join(imgdir, "rgb_320x200.png")), "Question: What's on the picture? Answer:"]]
    inputs = proc(text=prompts, return_tensors="pt")
    logits = pm(**inputs, use_cache=False).logits
    seq = pm.generate(**inputs, max_new_tokens=16, do_sample=False, eos_token_id=2, pad_token_id=0)
    save_file({"logits": logits.contiguous(), "input_ids": inputs["input_ids"], "generated_ids": seq[:, inputs["input_ids"].shape[1]:].contiguous()},
              os.path.join(outdir, "expected.safetensors"))  # fmt: skip


def sampling_cases(outdir):
    from transformers.generation.logits_process import (
        LogitsProcessorList, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper, TypicalLogitsWarper)  # fmt: skip

    g = torch.Generator().manual_seed(9)
    ids = torch.randint(0, 200, (1, 24), generator=g)
    x = torch.randn(1, 200, generator=g) * 3
    t, j = {"input_ids": ids, "logits": x.clone()}, []
    for k, procs in {
        "temperature_0.7": [TemperatureLogitsWarper(0.7)],
        "top_k_10": [TopKLogitsWarper(10)],
        "top_p_0.9": [TopPLogitsWarper(0.9)],
        "typical_0.8": [TypicalLogitsWarper(0.8)],
        "repetition_1.3": [RepetitionPenaltyLogitsProcessor(1.3)],
        "rep1.2_temp0.5_k20_p0.8_typ0.9": [RepetitionPenaltyLogitsProcessor(1.2), TemperatureLogitsWarper(0.5), TopKLogitsWarper(20), TopPLogitsWarper(0.8), TypicalLogitsWarper(0.9)],
    }.items():  # fmt: skip
        t["out/" + k] = LogitsProcessorList(procs)(ids, x.clone())
        j.append(k)
    save_file({k: v.contiguous() for k, v in t.items()}, os.path.join(outdir, "sampling.safetensors"))
    dump_json(os.path.join(outdir, "sampling.json"), {"order": "as in the name; filtered entries are -inf", "cases": j})


def tree_size(p):
    return sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(p) for f in fs)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("out", help="folder of the fixtures, holding tokenizer/micro/tokenizer.model")
    ap.add_argument("--expected", action="store_true", help="also write images/expected.safetensors (6 MB)")
    ap.add_argument("--new-tokens", type=int, default=16)
    a = ap.parse_args()
    transformers.logging.set_verbosity_error()
    os.makedirs(a.out, exist_ok=True)
    sub = lambda *p: (os.makedirs(os.path.join(a.out, *p), exist_ok=True), os.path.join(a.out, *p))[1]

    tokdir = sub("tokenizer")
    vocab = read_vocabulary(os.path.join(tokdir, "micro", "tokenizer.model"))
    toks = {"micro": build_tokenizer(vocab, os.path.join(tokdir, "micro"), [FAKE, IMAGE, EOU])}
    dump_json(os.path.join(tokdir, "cases.json"), tokenizer_cases(toks))

    imgdir = sub("images")
    names = [n for n in make_images(imgdir) if not n.startswith("expected")]
    t, notes = image_expectations(imgdir, names, IdeficsImageProcessor())
    if a.expected:
        save_file(t, os.path.join(imgdir, "expected.safetensors"))
    dump_json(os.path.join(imgdir, "expected.json"), notes)
    sampling_cases(a.out)

    summary = {}
    for name, spec in MODELS.items():
        model, proc, d = build_model(name, spec, sub("models"), tokdir)
        save_sharded(d, d + "-sharded", model.config)
        cdir = sub("cases", name)
        cases = dict(BASE_CASES)
        if spec["tok"] != "base":
            cases.update(INSTRUCT_CASES)
        margins = {}
        for cname, case in cases.items():
            j = run_case(model, proc, cname, case, imgdir, cdir, a.new_tokens)
            margins[cname] = min(j["generation"]["min_top1_top2_margin"])
        # the images must matter
        one = load_file(os.path.join(cdir, "one_image.safetensors"))
        key = "logits" if "logits" in one else "logits_last"
        inp = proc(text=[[Image.open(os.path.join(imgdir, "rgba.png")), BASE_CASES["one_image"]["prompts"][0][1]["text"]]], return_tensors="pt")
        other = model(**inp, use_cache=False).logits
        other = other if key == "logits" else other[:, -1]
        assert float((other - one[key]).abs().max()) > 0.05, "image has no influence"
        interpolation_case(model, cdir)
        lora_case(d, proc, imgdir, sub("adapters", name))
        n_par = sum(p.numel() for p in model.parameters())
        summary[name] = {"parameters": n_par, "model_bytes": tree_size(d), "case_bytes": tree_size(cdir), "min_margin": margins}
        print(name, json.dumps(summary[name]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
