"""Records every training of a grid of 256 settings, for each of ten seeds, with its score after each epoch.

    OMP_NUM_THREADS=1 nice -n 19 python benchmarks/record_search.py record FILE.jsonl
    python benchmarks/record_search.py table FILE.jsonl
    python benchmarks/record_search.py check FILE.jsonl

The grid is that of config/studies/resnet-5m.yaml around its final network: batch size, factor of the cuts of the
learning rate, their epochs at the same shares of the training, and weight decay. Here the network is a small ResNet on
the digits, of which 899 are the validation split, so that an image is worth 0.11 points, and 718 are trained on, for 24
epochs.

- record: trains in this one process what the study of this grid would train, by the plan's own command lines, and adds
  a line for each training to the file; trainings in the file are skipped. Trainings that differ only in the cuts of the
  rate are the same up to the first cut, and go on from a copy of one state taken an epoch before it.
- table: writes the table of the results from that file, for the seeds that are complete.
- check: runs a part of the grid with Snakemake, as a study with halving, in a copy of the repository. Its histories,
  networks and decisions must be those of the record, to the last bit.
"""

import argparse
import copy
import csv
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from demo import PARTS, PYTHON, ROOT, SNAKEMAKE, timed
from recorded_grid import AXES, EPOCHS, IMAGES, SEEDS, TABLE, write

sys.path.insert(0, str(ROOT))

from espalier.data.feed import Feed
from espalier.data.resident import Resident
from espalier.networks import artifact
from espalier.plan.build import build
from espalier.plan.runs import Run
from espalier.search import halving
from espalier.settings.words import parse
from espalier.site import device
from espalier.stages import STAGES
from espalier.stages import train as stage
from espalier.training.loop import fit
from espalier.training.state import State

STUDY = f"""\
title: The grid of 256 settings, on the digits
dataset: {{name: digits, image_size: 8, validation: 0.5, test: 0.1}}
model: {{name: resnet, blocks: [1, 1, 1], channels: [8, 16, 32]}}
train:
  epochs: {EPOCHS}
  optimizer: {{name: sgd, lr: 0.1, momentum: 0.9, nesterov: false}}
  scheduler: multi_step
grid:
  product: PRODUCT
"""
PART = {
    "train.batch_size": (32, 256),
    "train.scheduler.gamma": (0.1, 0.5),
    "train.optimizer.weight_decay": (1e-5, 1e-3),
    "train.scheduler.milestones": ((6, 12), (15, 21)),
}
"""The part of the grid that Snakemake runs."""
RUNGS = (3, 8, EPOCHS)


class Copies:
    """Copies of a training's state at the ends of some epochs."""

    def __init__(self, epochs: tuple[int, ...] = ()) -> None:
        self._epochs = epochs
        self.found: dict[int, dict] = {}

    def epoch_begins(self, state: State) -> None:
        """Nothing is asked for."""

    def step_ended(self, state: State) -> None:
        """Nothing is saved."""

    def epoch_ended(self, state: State, best: Mapping[str, Any] | None = None) -> None:
        if len(state.history) in self._epochs:
            self.found[len(state.history)] = copy.deepcopy(state.state_dict())

    def close(self) -> None:
        """Nothing is open."""


class Trainer:
    """Trains on one prepared data set, as the stage does in a process of its own."""

    def __init__(self, data: Resident) -> None:
        device.prepare(deterministic=False)
        self._data, self._accelerator = data, device.accelerate()

    def __call__(self, words: list[str], copies: Copies, begun: dict | None = None) -> State:
        """The state at the end of a training, that began with nothing or goes on from a copy of another's."""
        spec = parse(STAGES["train"].settings, words)
        model, policy = stage.build(spec, self._data, self._accelerator.device)
        state = State.begin(model, spec.train, self._data.steps_per_epoch(spec.train.batch_size))
        if begun:
            state.load_state_dict(with_cuts_of(state, copy.deepcopy(begun)))
        fit(state, self._data, policy, spec.train, seed=spec.seed, accelerator=self._accelerator, watch=copies)
        return state

    def digest(self, words: list[str], state: State) -> str:
        """SHA-256 of the file of its network."""
        spec = parse(STAGES["train"].settings, words)
        with tempfile.TemporaryDirectory() as name:
            sizes = self._data.num_classes, self._data.image_size
            artifact.save(Path(name), state.best, spec.model, *sizes, feed=Feed.of(self._data))
            return hashlib.sha256(Path(name, "model.safetensors").read_bytes()).hexdigest()


def with_cuts_of(state: State, begun: dict) -> dict:
    """A copy of another training's state, that was taken before its first cut, with the cuts of this one's rate."""
    own = state.schedule.state_dict()["scheduler"]
    begun["schedule"]["scheduler"] |= {key: own[key] for key in ("milestones", "gamma")}
    return begun


def planned(product: dict, **more: object) -> list[tuple[dict, Run]]:
    """The trainings of the study: the values of its axes with the seed, and the run."""
    with tempfile.TemporaryDirectory() as name:
        Path(name, "search.yaml").write_text(study(product, **more))
        points = build(["search"], Path(name)).studies["search"].points
    runs = [point.runs["train"] for point in points]
    return [({axis: attrgetter(axis)(run.spec) for axis in AXES} | {"seed": run.spec.seed}, run) for run in runs]


def study(product: dict, **more: object) -> str:
    """The text of the study; what is JSON is YAML too."""
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in more.items()]
    return STUDY.replace("PRODUCT", json.dumps(product)) + "".join(lines)


def recorded(path: Path) -> dict[str, dict]:
    """Id → line of the trainings that are there; a line that was cut off is none."""
    text = path.read_text() if path.exists() else ""
    return {row["run"]: row for row in map(json.loads, text.splitlines(keepends=True)[: text.count("\n")])}


def record(path: Path, seeds: int) -> None:
    """Train what is not there yet, and add it to the file."""
    done = recorded(path)
    path.write_text("".join(json.dumps(row) + "\n" for row in done.values()))
    runs = planned(AXES, repeats=seeds)
    with tempfile.TemporaryDirectory() as name, path.open("a") as file:
        words = runs[0][1].data.words
        timed([PYTHON, ROOT / "workflow/scripts/stage.py", "prepare", "data.safetensors", *words], Path(name))
        data = Resident.load(Path(name, "data.safetensors"))
        assert data.size("validation") == IMAGES
        train = Trainer(data)
        shared = ("seed", "train.batch_size", "train.optimizer.weight_decay")
        runs.sort(key=lambda pair: [pair[0][key] for key in shared])
        begun = time.monotonic()
        for common, family in groupby(runs, lambda pair: [pair[0][key] for key in shared]):
            missing = [pair for pair in family if pair[1].id not in done]
            for values, run, state in trained(train, missing):
                right = [round(row["validation_top1"] * IMAGES / 100) for row in state.history]
                told = {"run": run.id, **values, "right": right, "sha256": train.digest(run.words, state)}
                loss = [row["validation_loss"] for row in state.history]
                file.write(json.dumps(told | {"loss": loss}) + "\n")
            file.flush()
            print(f"{time.monotonic() - begun:.0f} s: seed, batch size, decay {common}", file=sys.stderr, flush=True)


def trained(train: Trainer, family: list[tuple[dict, Run]]) -> Iterator[tuple[dict, Run, State]]:
    """The trainings that differ in their cuts alone: the one that is cut last, and the others from copies of it."""
    family = sorted(family, key=lambda pair: pair[0]["train.scheduler.milestones"], reverse=True)
    before = [values["train.scheduler.milestones"][0] - 1 for values, _ in family]
    copies = Copies(tuple(before))
    for number, (values, run) in enumerate(family):
        begun = copies.found[before[number]] if number else None
        yield values, run, train(run.words, Copies() if number else copies, begun)


def check(path: Path) -> None:
    """Run a part of the grid as a study with halving, and compare all that it made."""
    known = recorded(path)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "espalier")
        folder.mkdir()
        for part in PARTS:
            (shutil.copytree if (ROOT / part).is_dir() else shutil.copy2)(ROOT / part, folder / part)
        asked = {"halving": {"epochs": RUNGS, "keep": "1/4"}, "tables": ["halving"]}
        (folder / "config/studies/search.yaml").write_text(study(PART, **asked))
        cpu, _ = timed([SNAKEMAKE, "-c1", "--config", "studies=search"], folder)
        answers = [json.loads(file.read_text()) for file in folder.glob("results/studies/search/answers/*.json")]
        candidates = [known[run.id] for _, run in planned(PART)]
        for answer in sorted(answers, key=lambda each: each["asked"]["epochs"]):
            epochs = answer["asked"]["epochs"]
            scores = [[100 * max(row["right"][:epochs]) / IMAGES] for row in candidates]
            kept = halving.kept(scores, halving.count(len(scores), halving.Fraction(answer["asked"]["keep"])))
            assert [each["runs"][0][-10:] for each in answer["candidates"]] == [row["run"] for row in candidates]
            told = [round(each["mean"] * IMAGES / 100) for each in answer["candidates"]]
            assert told == [max(row["right"][:epochs]) for row in candidates], "other scores than recorded"
            assert [each["kept"] for each in answer["candidates"]] == kept, "another decision than the replay's"
            candidates = [row for row, goes_on in zip(candidates, kept, strict=True) if goes_on]
            print(f"after epoch {epochs}: {len(kept)} scores and the decision are those of the record")
        whole = list(folder.glob("results/runs/train/*/run.json"))
        assert sorted(file.parent.name[-10:] for file in whole) == sorted(row["run"] for row in candidates)
        for history in folder.glob("results/runs/train/*/history.csv"):
            row = known[history.parent.name[-10:]]
            with history.open() as file:
                losses = [float(line["validation_loss"]) for line in csv.DictReader(file)]
            assert losses == row["loss"][: len(losses)], f"{history}: another history"
        for file in whole:
            row = known[file.parent.name[-10:]]
            model = file.with_name("model.safetensors").read_bytes()
            assert hashlib.sha256(model).hexdigest() == row["sha256"], f"{file.parent}: another network"
        print(f"{len(whole)} networks have the recorded SHA-256; {cpu:.0f} CPU-s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["record", "table", "check"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.part == "record":
        record(args.file, args.seeds)
    elif args.part == "check":
        check(args.file)
    else:
        rows = recorded(args.file)
        runs = planned(AXES, repeats=args.seeds)
        cut = {values["seed"] for values, run in runs if run.id not in rows}
        write(TABLE, [rows[run.id] | values for values, run in runs if values["seed"] not in cut])
        print(f"{TABLE}: {args.seeds - len(cut)} seeds, {TABLE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
