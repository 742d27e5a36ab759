"""The extend stage as it is run: on from the best epoch, stopped and gone on with, refused."""

import json

import pytest
import torch

from espalier.data.resident import Resident
from espalier.errors import ArtifactError, Mistake
from espalier.metrics.accuracy import score
from espalier.networks import artifact
from espalier.runs import record
from espalier.settings.words import parse
from espalier.stages import STAGES
from support.digits_runs import made, timeless
from support.scripts_as_run import run, table

TRAINED = ["model={name: mlp, hidden: [16], dropout: 0.1}", "augment=[pad_crop]", "train.epochs=2", "seed=3"]
EXTENDED = ["extend={epochs: 2, batch_size: 128, warmup_epochs: 0.5}", "augment=[pad_crop]", "seed=3"]


@pytest.fixture(scope="module")
def parent(digits, tmp_path_factory):
    return made(tmp_path_factory.mktemp("parent") / "mlp-00000000bb", digits, *TRAINED)


@pytest.fixture(scope="module")
def extended(parent, digits, tmp_path_factory):
    return made(tmp_path_factory.mktemp("extended") / "mlp-00000000cc", digits, *EXTENDED, **after(parent))


def after(*parents):
    return {"stage": "extend", "parents": parents}


def content(folder):
    return json.loads((folder / "run.json").read_text())


def weights(folder):
    return artifact.load(folder).model.state_dict()


def metrics(folder):
    (row,) = table(folder / "metrics.csv")
    return {key: float(value) for key, value in row.items() if key not in ("run", "parent")}


def test_the_best_of_more_epochs_is_what_it_says_it_scores(extended, digits):
    row, rows = metrics(extended), table(extended / "history.csv")
    assert row["epochs"] == len(rows) == 2
    best = max(rows, key=lambda each: (float(each["validation_top1"]), -float(each["validation_loss"])))
    assert row["best_epoch"] == float(best["epoch"]) and row["validation_top1"] == float(best["validation_top1"])
    found = score(artifact.load(extended).model, Resident.load(digits).batches("validation", 128))
    assert row["validation_top1"] == pytest.approx(found["top1"])
    assert row["file_bytes"] == (extended / "model.safetensors").stat().st_size


def test_it_goes_on_from_the_weights_of_the_training(parent, digits, tmp_path):
    # So small a step that every weight stays where it was.
    words = ["extend={epochs: 1, optimizer: {name: sgd, lr: 1.0e-8}}", "seed=3"]
    still = made(tmp_path / "mlp-0000000001", digits, *words, **after(parent))
    before, found = weights(parent), weights(still)
    assert all(torch.allclose(found[name], before[name], atol=1e-6) for name in before)
    told = content(still)
    assert told["parent"] == "00000000bb"
    assert told["read"][f"{parent.name}/model.safetensors"] == content(parent)["written"]["model.safetensors"]


def test_its_optimizer_and_schedule_start_anew(extended):
    first, second = (float(row["lr"]) for row in table(extended / "history.csv"))
    # Half an epoch of warm-up, then the cosine of 0.1 from its peak on.
    assert first > 0.05 > second


@pytest.mark.parametrize("policy", ["[]", "[horizontal_flip]"])
def test_augmentations_of_its_own_take_the_place_of_the_chain_s(policy, parent, extended, digits, tmp_path):
    own = made(tmp_path / "a-0000000001", digits, *EXTENDED, f"extend.augment={policy}", **after(parent))
    chains = made(tmp_path / "b-0000000002", digits, EXTENDED[0], f"augment={policy}", "seed=3", **after(parent))
    bits = [(folder / "model.safetensors").read_bytes() for folder in (own, chains, extended)]
    assert bits[0] == bits[1] != bits[2]


def test_stopped_and_gone_on_with_an_extension_ends_with_the_same_bits(parent, extended, digits, tmp_path):
    cut = tmp_path / "cut-00000000cc"
    # Within the first epoch, at its end, and within the second.
    for looks in (3, 7, 4):
        made(cut, digits, *EXTENDED, stop=looks, **after(parent))
        assert not (cut / "run.json").exists()
    made(cut, digits, *EXTENDED, **after(parent))
    assert content(cut)["resumed"] == 3
    for name in ("model.safetensors", "model.json"):
        assert (cut / name).read_bytes() == (extended / name).read_bytes(), name
    assert timeless(table(cut / "history.csv")) == timeless(table(extended / "history.csv"))


def test_it_draws_anew_and_does_not_repeat_the_epochs_of_the_training(digits, tmp_path):
    """Images come in an order of its own: with the same weights, a first epoch of both would else be the same."""
    words = ["augment=[pad_crop]", "seed=3"]
    start = made(tmp_path / "mlp-0000000001", digits, "model={name: mlp, hidden: [16]}", "train.epochs=1", *words)
    again = ["model={name: mlp, hidden: [16]}", f"checkpoint={start}/model.safetensors", "train.epochs=1"]
    trained = made(tmp_path / "mlp-0000000002", digits, *again, *words)
    longer = made(tmp_path / "mlp-0000000003", digits, "extend={epochs: 1}", *words, **after(start))
    losses = [float(table(folder / "history.csv")[0]["train_loss"]) for folder in (trained, longer)]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.2)


def test_it_learns_of_a_teacher(parent, extended, digits, tmp_path):
    where = after(parent)
    unheard = [*EXTENDED, "extend.teacher.weight=0.0"]
    alone = made(tmp_path / "alone-0000000001", digits, *unheard, teacher=parent, **where)
    taught = made(tmp_path / "taught-0000000002", digits, *EXTENDED, "extend.teacher={}", teacher=parent, **where)
    assert content(taught)["teacher"] == content(taught)["parent"]
    bits = [(folder / "model.safetensors").read_bytes() for folder in (alone, extended, taught)]
    assert bits[0] == bits[1] != bits[2]


def test_a_pruned_network_is_not_extended(parent, digits, tmp_path):
    words = ["prune={name: magnitude, ratio: 0.5}", "fine_tune.epochs=0"]
    pruned = made(tmp_path / "pruned-0000000001", digits, *words, stage="prune", parents=(parent,))
    longer = tmp_path / "longer-0000000002"
    with pytest.raises(ArtifactError, match=r"its stage is prune, and extend follows train; a pruned .* fine_tune"):
        made(longer, digits, *EXTENDED, **after(parent, pruned))
    assert not (longer / "run.json").exists() and not (longer / "model.safetensors").exists()


def test_an_extension_that_diverges_is_no_network(parent, digits, tmp_path):
    wild = "extend={epochs: 2, optimizer: {name: sgd, lr: 1.0e+30}}"
    longer = made(tmp_path / "wild-0000000001", digits, wild, **after(parent))
    assert record.read(longer).outcome == "diverged"
    words = ["prune={name: magnitude, ratio: 0.5}"]
    pruned = made(tmp_path / "pruned-0000000002", digits, *words, stage="prune", parents=(parent, longer))
    assert (record.read(pruned).outcome, record.read(pruned).reason) == ("not run", f"{longer.name} diverged")


def test_the_control_from_scratch_has_all_epochs_of_the_chain(parent, extended, digits, tmp_path):
    words = ["prune={name: magnitude, ratio: 0.5}", "control=scratch", "fine_tune.epochs=1"]
    where = {"stage": "prune", "parents": (parent, extended)}
    scratch = made(tmp_path / "scratch-0000000001", digits, *words, **where)
    assert metrics(scratch)["epochs"] == 2 + 2 + 1
    with pytest.raises(ArtifactError, match=r"its stages are extend, .* --parents TRAIN \[EXTEND\]"):
        made(tmp_path / "scratch-0000000002", digits, *words, stage="prune", parents=(extended,))


def test_an_extended_network_is_not_exported_as_one_that_was_pruned(parent, extended, digits, tmp_path):
    where = {"stage": "export", "parents": (parent, extended)}
    exported = made(tmp_path / "exported-0000000001", digits, "export={int8: false}", **where)
    assert [row["format"] for row in table(exported / "formats.csv")] == ["eager", "ONNX fp32"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "extend: nothing is asked for; set extend"),
        (("extend={epochs: 2, warmup_epochs: 2}",), "extend.warmup_epochs: a warm-up of 2 epochs"),
        (("extend={epochs: 1, processes: 2, compile: true}",), "extend.compile: steps of several processes"),
        (("extend={epochs: 1, augment: [mixup, cutmix]}",), "extend.augment: mixup and cutmix both mix"),
    ],
)
def test_what_cannot_be_trained_is_told(words, message, parent, digits, tmp_path):
    with pytest.raises(Mistake, match=message):
        made(tmp_path / "bad-0000000001", digits, *words, **after(parent))


@pytest.mark.parametrize("words", [["extend={}"], ["extend={epochs: 0}"]])
def test_without_epochs_there_is_no_extension(words):
    with pytest.raises(Mistake, match=r"extend\.epochs"):
        parse(STAGES["extend"].settings, words)


@pytest.mark.slow
def test_an_extension_by_two_processes_is_that_of_one(digits, tmp_path):
    # Dropout draws for each process.
    parent = made(tmp_path / "mlp-00000000bb", digits, "model={name: mlp, hidden: [16]}", "train.epochs=1")
    words = ["extend={epochs: 1, batch_size: 53}", "seed=3"]
    one, two = (tmp_path / f"{name}-0000000001" for name in ("one", "two"))
    for folder, processes in ((one, 1), (two, 2)):
        where = ("--parents", parent, "--data", digits)
        done = run("extend", folder, *where, *words, f"extend.processes={processes}")
        assert done.returncode == 0, done.stderr
    ours, theirs = weights(one), weights(two)
    assert all(ours[name].allclose(theirs[name], rtol=1e-3, atol=1e-4) for name in ours)
