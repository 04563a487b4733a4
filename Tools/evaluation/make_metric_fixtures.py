#!/usr/bin/env python3
"""Values of every metric from independent public implementations, for Tests/EvaluationTests.

    pip install -r requirements.txt && pip install --no-deps salesforce-lavis==1.0.2 lm_eval==0.4.13
    python make_metric_fixtures.py ../../Tests/Fixtures/evaluation

Needs Java for the tokeniser of pycocoevalcap. Texts are made up here from a seed; nothing is downloaded.

  vqa.json         answer normalisation (LAVIS's copy of the VQA evaluation) and soft accuracy in the published order of steps
  captions.json    Stanford PTBTokenizer, CIDEr-D and BLEU of pycocoevalcap, corpus BLEU of sacrebleu
  windows.json     rolling windows and word counts of lm-evaluation-harness
  divergence.json  torch's KL divergence, numpy's percentiles
  bootstrap.json   scipy's percentile bootstrap
"""
import importlib.util
import json
import math
import os
import random
import re
import sys

import numpy as np
import sacrebleu
import scipy.stats
import torch
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer


def load_file(package, path):
    """One file of an installed package, without running the package's own imports."""
    root = importlib.util.find_spec(package).submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("loaded_" + os.path.basename(path)[:-3], os.path.join(root, path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def vqa(rng):
    tool = load_file("lavis", "common/vqa_tools/vqa_eval.py").VQAEval()
    normalise = lambda s: tool.processDigitArticle(tool.processPunctuation(s))
    pieces = ["a", "an", "the", "The", "two", "none", "ten", "red", "Blue", "don't", "dont", "couldnt've", "couldn'tve", "somebody'd", "yall'd've", "ows'at",
              "'ow'sat", "twas", "oclock", "Im", "id've", "1,000", "1, 000", "3.5", ".5", "5.", "u.s.", "t-shirt", "- ", "/", " /", "and/or", "(left)", "?", "!",
              "yes!", "no ?", ";", ":", "'", "\"quoted\"", "{x}", "[y]", "a_b", "c++", "<b>", "x=y", "@home", "`", "é", "Ünder", "\u0663,\u0664", "...", "10:30", "\\"]  # fmt: skip
    texts = pieces + ["".join(rng.choice(pieces) + rng.choice(["", " ", " ", "  "]) for _ in range(rng.randint(1, 6))) for _ in range(160)]
    texts += ["." * 40 + " end", "a.b." * 20]
    short = ["yes", "no", "2", "two", "red", "the red", "red.", "on table", "on the table", "man's", "mans", "left,", "left", "to the left", "Yes", "YES\n", " no\t", "blue-ish", "blue ish"]
    accuracy = []
    for k in range(160):
        pool = rng.sample(short, rng.randint(1, 5))
        given = [pool[0]] * 10 if k % 8 == 0 else [rng.choice(pool) for _ in range(10 if k % 9 else rng.randint(1, 12))]
        answer = rng.choice(short if k % 3 else pool)
        # The steps of the published evaluation of VQA v2, with LAVIS's normalisation.
        tidy = lambda s: s.replace("\n", " ").replace("\t", " ").strip()
        truth, said = [(i, tidy(g)) for i, g in enumerate(given)], tidy(answer)
        if len({g for _, g in truth}) > 1:
            truth, said = [(i, normalise(g)) for i, g in truth], normalise(said)
        each = [min(1, sum(g == said for j, g in truth if j != i) / 3) for i, _ in truth]
        accuracy.append(dict(answers=given, answer=answer, accuracy=sum(each) / len(each)))
    return dict(normalised=[dict(text=t, normalised=normalise(t)) for t in texts], accuracy=accuracy)


PROBES = """A man riding a wave on top of a surfboard.
a dog (black) sits [there] {now}
It's John's dog; can't won't isn't they're I've we'll he'd I'm
cannot gonna wanna gotta lemme gimme
A black-and-white cat - on a mat -- really... yes
"Quoted" text 'single quoted' and ``ticks''
the U.S. flag, Mr. Smith and St. Mary's
at 5:30 p.m. on 12/25, 3.5 of $1,000.50
a half 1/2 pizza and/or salad
R&B @ home #1 * star + plus = equal
the dogs' bowls and players' shirts
A man's hat , a woman 's hat .
e.g. i.e. etc. vs. the rest.
email me@x.com
A café in São Paulo – a naïve façade — “smart” ‘quotes’ it’s
rock o'clock y'all 'tis 'twas
Two 2nd 3rd 1980s '80s 10-year-old
t-shirt. tee_shirt under_score
what?! wow!! hmm…
A train #45 on track no. 5.
couldn't've shouldn't DON'T
stop sign.The next
a,b c , d
1,000 people 10,5 a.b.c.
5'10" tall 6ft 10 ft. wide
a person... standing. . .
dr. who's tardis inc. co. jr.
AT&T's phone
50% off at 100%
"""


def captions(rng):
    nouns, places = "dog cat man woman boy horse train bus pizza kite surfboard giraffe".split(), "beach street table field kitchen station".split()
    verbs, looks = "riding holding watching eating near behind".split(), "small large red black-and-white old young".split()
    sentence = lambda: rng.choice(["A {l} {a} {v} a {b}.", "a {a} {v} the {b} on a {p}", "There's a {l} {a}, and it isn't {v} the {b}!", "The {a}'s {b} at the {p}",
                                   "Two {a}s are {v} a {l} {b} in front of the {p}.", "{a}"]).format(
        a=rng.choice(nouns), b=rng.choice(nouns), l=rng.choice(looks), v=rng.choice(verbs), p=rng.choice(places))  # fmt: skip
    references = {i: [sentence() for _ in range(rng.randint(1, 5))] for i in range(40)}
    candidate = {i: rng.choice(references[i]) if i % 5 == 0 else sentence() for i in references}
    candidate[7], candidate[8] = "", rng.choice(references[8]) * 2
    tokens = lambda table: PTBTokenizer().tokenize({k: [dict(caption=c) for c in v] for k, v in table.items()})
    probes = [p for p in PROBES.split("\n") if p]
    split = tokens({i: [p] for i, p in enumerate(probes)})
    ref, cand = tokens(references), tokens({k: [v] for k, v in candidate.items()})
    cider, each = Cider().compute_score(ref, cand)
    bleu, _ = Bleu(4).compute_score(ref, cand, verbose=0)
    one = Cider().compute_score({0: ref[0]}, {0: cand[0]})[0]
    width = max(len(r) for r in ref.values())
    streams = [[ref[i][k] if k < len(ref[i]) else None for i in ref] for k in range(width)]
    sacre = sacrebleu.corpus_bleu([cand[i][0] for i in ref], streams, tokenize="none", smooth_method="none", force=True).score
    images = [dict(references=references[i], candidate=candidate[i], tokens=cand[i][0].split(), cider=float(each[k])) for k, i in enumerate(references)]
    return dict(tokens=[dict(caption=p, words=split[i][0].split()) for i, p in enumerate(probes)], images=images,
                cider=float(cider), single_image_cider=float(one), bleu4=float(bleu[3]), sacrebleu4=sacre / 100)  # fmt: skip


def windows(rng):
    rolling = load_file("lm_eval", "utils.py").get_rolling_token_windows
    cases = []
    for count, length in [(0, 4), (1, 4), (3, 4), (4, 4), (5, 4), (8, 4), (9, 4), (23, 7), (12, 1)]:
        tokens = list(range(10, 10 + count))
        cut = [dict(input=a, predicted=b) for a, b in rolling(tokens, prefix_token=1, max_seq_len=length, context_len=1)]
        cases.append(dict(tokens=tokens, length=length, windows=cut))
    texts = ["", "one", "one two", " lead and trail ", "a\n\nb\tc", "no\u00a0break \u2003wide", "x\x1cy"]
    return dict(rolling=cases, words=[dict(text=t, count=len(re.split(r"\s+", t))) for t in texts])


def divergence(rng):
    g = torch.Generator().manual_seed(5)
    reference = torch.log_softmax(torch.randn(24, 17, generator=g, dtype=torch.float64) * 3, -1).float()
    candidate = torch.log_softmax(reference.double() + torch.randn(24, 17, generator=g, dtype=torch.float64) * 0.3, -1).float()
    tokens = torch.randint(17, (24,), generator=g)
    p, q, t = reference.double(), candidate.double(), tokens[:, None]
    kl = torch.nn.functional.kl_div(q, p, log_target=True, reduction="none").sum(-1).numpy()
    delta = (q.gather(1, t).exp() - p.gather(1, t).exp()).squeeze(1).numpy()
    levels = [1, 5, 25, 50, 75, 95, 99]
    return dict(
        reference=reference.tolist(), candidate=candidate.tolist(), tokens=tokens.tolist(), divergence=kl.tolist(), mean=float(kl.mean()),
        divergence_percentiles=np.percentile(kl, [50, 90, 99, 99.9, 100]).tolist(), difference_percentiles=np.percentile(delta, levels).tolist(),
        rms=float(np.sqrt((delta**2).mean())), agreement=float((p.argmax(-1) == q.argmax(-1)).double().mean()),
        reference_perplexity=float(torch.nn.functional.nll_loss(p, tokens).exp()), perplexity=float(torch.nn.functional.nll_loss(q, tokens).exp()))  # fmt: skip


def bootstrap(rng):
    values = [round(min(1, max(0, rng.gauss(0.6, 0.3))), 3) for _ in range(200)]
    fit = lambda f: scipy.stats.bootstrap((np.array(values),), f, n_resamples=20000, method="percentile", random_state=3).confidence_interval
    mean, rms = fit(np.mean), fit(lambda x, axis: np.sqrt((x**2).mean(axis=axis)))
    return dict(values=values, mean=[float(mean.low), float(mean.high)], rms=[float(rms.low), float(rms.high)])


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for make in (vqa, captions, windows, divergence, bootstrap):
        with open(os.path.join(folder, make.__name__ + ".json"), "w", encoding="utf-8") as fh:
            json.dump(make(random.Random(11)), fh, ensure_ascii=False, separators=(",", ":"))
            fh.write("\n")


if __name__ == "__main__":
    main()
