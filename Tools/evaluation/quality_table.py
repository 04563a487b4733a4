#!/usr/bin/env python3
"""The quality table of a model: every recipe against f32, measured by `idefix eval`.

    quality_table.py CHECKPOINT DATA [--recipes q8,q4] [--idefix PATH] [--work DIR] [--limit N] [--into Models/README.md]

CHECKPOINT is a Hugging Face folder, DATA a folder of held-out sets, one .jsonl a task (Tools/train-demo/make_eval.py
writes them). Converts the checkpoint to f32 and to each recipe, stores the distributions of f32, and measures the divergence
(text only: questions and answers without images; with images: the answers after their prompts) and every task.
Recipes are names or files. Prints a Markdown table; --into replaces the table between its two markers in a file. What was
measured stays in --work, and a run that was interrupted goes on from there.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

BEGIN, END = "<!-- quality table: begin -->", "<!-- quality table: end -->"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("checkpoint")
    ap.add_argument("data")
    ap.add_argument("--recipes", default="q8,q4")
    ap.add_argument("--idefix", default=os.path.join(os.path.dirname(__file__), "../../.build/release/idefix"))
    ap.add_argument("--work")
    ap.add_argument("--limit", type=int)
    ap.add_argument("--into")
    a = ap.parse_args()
    work = a.work or tempfile.mkdtemp(prefix="idefix-quality-")
    os.makedirs(work, exist_ok=True)
    place = lambda *names: os.path.join(work, "-".join(names))

    def idefix(*words):
        print("idefix", *words, file=sys.stderr)
        return subprocess.run([a.idefix, *words], check=True, stdout=subprocess.PIPE, text=True).stdout

    tasks = sorted(f[:-6] for f in os.listdir(a.data) if f.endswith(".jsonl"))
    limit = ["--limit", str(a.limit)] if a.limit else []
    data = {t: os.path.join(a.data, t + ".jsonl") for t in tasks}

    # Text only: what is asked and answered, without the images.
    text = place("text.jsonl")
    with open(text, "w", encoding="utf-8") as out:
        for task in tasks:
            with open(data[task], encoding="utf-8") as rows:
                for line in list(rows)[: min(a.limit or 60, 60)]:
                    row = json.loads(line)
                    words = " ".join(p["text"] for p in row["prompt"] if "text" in p) + " " + row["answers"][0]
                    json.dump({"id": row["id"], "text": words.replace("<end_of_utterance>", " ")}, out)
                    out.write("\n")

    # The sets whose answers are sentences say most about probabilities.
    shown = [t for t in ("caption", "triple", "fewshot") if t in tasks] or tasks[:1]
    sources = {"text": [text], **{t: ["--data", data[t], *limit] for t in shown}}
    recipes = ["f32", *a.recipes.split(",")]
    lines = ["| | bits a weight | KL text | KL images | top-1 text | top-1 images | RMS Δp images | " + " | ".join(tasks) + " |",
             "| --- |" + " --- |" * (6 + len(tasks))]  # fmt: skip
    models = {r: place(os.path.splitext(os.path.basename(r))[0] + ".idfx") for r in recipes}
    for recipe, model in models.items():
        if not os.path.exists(model):
            idefix("convert", a.checkpoint, "-o", model, "--recipe", recipe, "--quiet", "--json")
    facts = {r: json.loads(idefix("inspect", m, "--json")) for r, m in models.items()}
    if any(f["sources"] != facts["f32"]["sources"] for f in facts.values()):
        sys.exit(f"the files in {work} are of different checkpoints; remove them, or choose another --work")
    for recipe in recipes:
        name = os.path.splitext(os.path.basename(recipe))[0]
        model = models[recipe]
        bits = facts[recipe]["bits_per_weight"]
        found = {}
        for source, words in sources.items():
            reference = place("reference", source)
            if recipe == "f32":
                if not os.path.exists(reference):
                    idefix("eval", "divergence", model, *words, "--save-reference", reference, "--quiet")
            else:
                out = place(name, "divergence", source + ".json")
                found[source] = json.loads(idefix("eval", "divergence", model, *words, "--reference", reference, "--output", out, "--quiet", "--json"))["metrics"]
        # Sets of one kind, weighted by their tokens.
        def mean(metric, kinds):
            weight = sum(found[k]["tokens"] for k in kinds)
            return sum(found[k][metric]["value"] * found[k]["tokens"] for k in kinds) / weight

        cells = [f"**{name}**", f"{bits:.2f}"]
        if recipe == "f32":
            cells += ["–"] * 5
        else:
            square = sum(found[k]["rms_delta_p"]["value"] ** 2 * found[k]["tokens"] for k in shown) / sum(found[k]["tokens"] for k in shown)
            cells += [f"{mean('mean_kl', ['text']):.5f}", f"{mean('mean_kl', shown):.5f}", f"{100 * mean('top_1_agreement', ['text']):.2f} %",
                      f"{100 * mean('top_1_agreement', shown):.2f} %", f"{square ** 0.5:.4f}"]  # fmt: skip
        for task in tasks:
            out = place(name, task + ".json")
            metrics = json.loads(idefix("eval", "exact", model, "--data", data[task], *limit, "--output", out, "--quiet", "--json"))["metrics"]
            score = metrics.get("format_followed", metrics["exact_match"]) if task == "fewshot" else metrics["exact_match"]
            cells.append(f"{100 * score['value']:.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    table = "\n".join(lines)
    print(table)
    if a.into:
        with open(a.into, encoding="utf-8") as fh:
            document = fh.read()
        if BEGIN not in document or END not in document:
            sys.exit(f"{a.into} has no markers {BEGIN} and {END}")
        before, after = document.split(BEGIN)[0], document.split(END)[1]
        with open(a.into, "w", encoding="utf-8") as fh:
            fh.write(f"{before}{BEGIN}\n{table}\n{END}{after}")


if __name__ == "__main__":
    main()
