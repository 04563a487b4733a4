#!/usr/bin/env python3
"""The training curve of a run as CSV, one line per logged window; where a run resumed, the later line stands.

    curve.py --run DIR [--sitting 2] > curve.csv

Several sittings, each from the model of the one before, are joined by hand below one header.
"""
import argparse
import json
import os
import sys

FIELDS = ("step", "used", "loss", "patch_class", "slot_class", "slot_rank", "slot_background",
          "all", "yes/no", "left/right", "where", "present", "rank", "third_x", "third_y")  # fmt: skip


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--run", required=True)
    ap.add_argument("--sitting", type=int, default=1)
    a = ap.parse_args()
    print("sitting,phase," + ",".join(FIELDS))
    for phase in ("vision", "joint"):
        path, rows = os.path.join(a.run, phase + ".jsonl"), {}
        if not os.path.exists(path):
            continue
        with open(path, encoding="utf-8") as fh:
            for line in fh:
                row = json.loads(line)
                if "loss" in row:
                    rows[row["step"]] = row
        for _, row in sorted(rows.items()):
            print(f"{a.sitting},{phase}," + ",".join(str(row.get(f, "")) for f in FIELDS))


if __name__ == "__main__":
    sys.exit(main())
