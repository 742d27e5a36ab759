"""Curves and bars of a folder of runs, and their table: plots.py FOLDER"""

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import pandas as pd


def main() -> None:
    folder = Path(sys.argv[1])
    results = sorted(folder.glob("*/result.json"))
    table = pd.DataFrame([json.loads(path.read_text()) for path in results])
    table["test_top1"] = [found["top1"] for found in table["test"]]
    table.drop(columns=["test", "times"]).to_csv(folder / "table.csv", index=False)
    axes = ["model", "augment", "optimizer", "lr", "scheduler"]
    for column in ("loss", "top1"):
        figure, ax = plt.subplots()
        for path in results:
            history = pd.read_csv(path.with_name("history.csv"))
            ax.plot(history["epoch"], history[column], linewidth=0.8)
        ax.set(xlabel="epoch", ylabel=f"validation {column}")
        for suffix in ("png", "pdf"):
            figure.savefig(folder / f"curves_{column}.{suffix}", dpi=200)
    for axis in axes:
        figure, ax = plt.subplots()
        groups = table.groupby(axis)["test_top1"]
        ax.bar(groups.mean().index.astype(str), groups.mean(), yerr=groups.std())
        ax.set(xlabel=axis, ylabel="test top-1 (%)")
        for suffix in ("png", "pdf"):
            figure.savefig(folder / f"by_{axis}.{suffix}", dpi=200)


if __name__ == "__main__":
    main()
