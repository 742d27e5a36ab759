"""A training with more epochs goes on from the end of a shorter one, to the bits of one that began with nothing."""

import hashlib
import shutil

import pytest
from safetensors.torch import load_file

from espalier.runs import folders, record
from espalier.runs.checkpoint import read
from espalier.search import rung_file
from espalier.training import longer
from support.digits_runs import made
from support.scripts_as_run import run, table

WORDS = ("model={name: mlp, hidden: [16], dropout: 0.2}", "augment=[pad_crop]", "train.batch_size=64", "seed=5")
ADAM, CONSTANT = "train.optimizer={name: adamw, lr: 0.01}", "train.scheduler=constant"
TIMES = ("images_per_s", "epoch_s")


def outcome(folder):
    rows = [{key: row[key] for key in row if key not in TIMES} for row in table(folder / "history.csv")]
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(), rows


def trained(folder, digits, epochs, *words, **more):
    return made(folder, digits, *WORDS, *words, f"train.epochs={epochs}", **more)


def continued(folder):
    return record.read(folder).content.get("continued")


def undisturbed(tmp_path, digits, epochs, *words):
    """The same training where no other lies beside it."""
    (tmp_path / "alone").mkdir()
    return outcome(trained(tmp_path / "alone/net-00000000ff", digits, epochs, *words))


@pytest.mark.parametrize(
    "words",
    [
        (CONSTANT,),
        (ADAM, "train.lookahead.k=4", "train.scheduler={name: step, epochs: 1, gamma: 0.5}", "train.warmup_epochs=0.5"),
        ("train.scheduler={name: multi_step, milestones: [1, 3]}",),
        ("train.scheduler={name: plateau, patience: 0, threshold: 30.0}", "train.warmup_epochs=1.5"),
        ("train.scheduler={name: cosine_restarts, epochs: 1}",),
    ],
    ids=["constant", "step", "multi_step", "plateau", "cosine_restarts"],
)
def test_2_epochs_made_4_end_with_the_bits_of_4(words, digits, tmp_path):
    short = trained(tmp_path / "net-00000000b2", digits, 2, *words)
    long = trained(tmp_path / "net-00000000b4", digits, 4, *words)
    assert outcome(long) == undisturbed(tmp_path, digits, 4, *words)
    assert continued(short) is None and continued(long) == "00000000b2"
    # Their times too: these epochs were not trained again.
    assert table(long / "history.csv")[:2] == table(short / "history.csv")
    found = record.read(long)
    assert found.read == {f"{short.name}/end.safetensors": record.sha256(short / "end.safetensors")}
    assert found.content["resumed"] == 0 and not (long / "checkpoint").exists()


def test_the_best_epoch_may_be_one_of_the_shorter(digits, tmp_path):
    # Without a learning rate nothing gets better from the third epoch on.
    words = ("train.scheduler={name: step, epochs: 2, gamma: 1e-12}",)
    trained(tmp_path / "net-00000000b2", digits, 2, *words)
    long = trained(tmp_path / "net-00000000b4", digits, 4, *words)
    assert int(table(long / "metrics.csv")[0]["best_epoch"]) <= 2 and continued(long)
    best, last = load_file(long / "model.safetensors"), read(long / "end.safetensors")["state"]
    assert any(not best[name].equal(last["model"][name]) for name in best)
    assert outcome(long) == undisturbed(tmp_path, digits, 4, *words)


def test_the_longest_is_gone_on_from_and_one_that_is_damaged_or_gone_is_not(digits, tmp_path, caplog):
    for epochs in (1, 2, 3):
        trained(tmp_path / f"net-00000000b{epochs}", digits, epochs, CONSTANT)
    assert [continued(tmp_path / f"net-00000000b{epochs}") for epochs in (2, 3)] == ["00000000b1", "00000000b2"]
    alone = undisturbed(tmp_path, digits, 4, CONSTANT)
    end = tmp_path / "net-00000000b3/end.safetensors"
    end.write_bytes(end.read_bytes()[:-1] + b"x")
    long = trained(tmp_path / "net-00000000b4", digits, 4, CONSTANT)
    assert continued(long) == "00000000b2" and outcome(long) == alone
    assert f"{end} cannot be gone on from (its checksum is wrong)" in caplog.text

    shutil.rmtree(long)
    end.unlink()
    # Whether INFO is kept depends on the tests before.
    caplog.clear()
    (tmp_path / "net-00000000b2/run.json").unlink()
    shutil.rmtree(tmp_path / "net-00000000b1")
    long = trained(tmp_path / "net-00000000b4", digits, 4, CONSTANT)
    assert continued(long) is None and outcome(long) == alone
    assert "net-00000000b2/run.json: does not exist" in caplog.text and "net-00000000b1" not in caplog.text


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (("train.scheduler=cosine",), ("train.scheduler=cosine",)),
        (("train.scheduler=one_cycle",), ("train.scheduler=one_cycle",)),
        ((CONSTANT,), (CONSTANT, "seed=6")),
        ((CONSTANT,), (CONSTANT, "train.optimizer.lr=0.2")),
    ],
    ids=["cosine", "one_cycle", "another seed", "another rate"],
)
def test_a_training_of_another_schedule_or_other_settings_begins_with_nothing(short, long, digits, tmp_path):
    before = trained(tmp_path / "net-00000000b2", digits, 1, *short)
    assert (before / "end.safetensors").exists() == (CONSTANT in short)
    assert continued(trained(tmp_path / "net-00000000b4", digits, 2, *long)) is None


def test_a_training_that_stopped_early_trains_no_more_in_a_longer_one(digits, tmp_path):
    words = (CONSTANT, "train.early_stopping={patience: 1, min_delta: 50}", "train.select=loss")
    short = trained(tmp_path / "net-00000000b4", digits, 4, *words)
    # Stopped at the first look, if there were one.
    long = trained(tmp_path / "net-00000000b8", digits, 8, *words, stop=1)
    assert len(table(long / "history.csv")) == 2 and continued(long) == "00000000b4"
    assert outcome(long) == outcome(short) == undisturbed(tmp_path, digits, 8, *words)


def test_stopped_or_paused_on_the_way_it_still_says_from_which_run_it_went_on(digits, tmp_path):
    short, long = tmp_path / "net-00000000b2", tmp_path / "net-00000000b4"
    trained(short, digits, 2, CONSTANT)
    trained(long, digits, 4, CONSTANT, until=2, rung=tmp_path / "rung.json", stop=1)
    assert rung_file.read(tmp_path / "rung.json").outcome == "paused"
    assert record.read(long) is None and (long / "checkpoint/latest.safetensors").exists()
    shutil.rmtree(short)
    trained(long, digits, 4, CONSTANT, stop=7)
    trained(long, digits, 4, CONSTANT)
    assert continued(long) == "00000000b2" and record.read(long).content["resumed"] == 2
    assert outcome(long) == undisturbed(tmp_path, digits, 4, CONSTANT)


def test_no_end_is_kept_where_none_is_wanted(digits, tmp_path, monkeypatch):
    monkeypatch.setenv(longer.VARIABLE, "0")
    folder = trained(tmp_path / "net-00000000b2", digits, 1, CONSTANT)
    assert not (folder / "end.safetensors").exists() and [*tmp_path.iterdir()] == [folder]


def test_the_index_is_no_run(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = folders.RUNS / "train/net-00000000b2"
    folder.parent.mkdir(parents=True)
    trained(folder, digits, 1, CONSTANT)
    assert (folder.parent / longer.INDEX).is_dir() and folders.folders() == [folder]


@pytest.mark.slow
def test_two_processes_go_on_with_the_same_bits(digits, tmp_path):
    (tmp_path / "alone").mkdir()
    short, long, alone = (tmp_path / name for name in ("net-00000000b2", "net-00000000b4", "alone/net-00000000b4"))
    for folder, epochs in ((short, 2), (long, 4), (alone, 4)):
        words = ["--data", digits, *WORDS, CONSTANT, "train.processes=2", f"train.epochs={epochs}"]
        assert run("train", folder, *words).returncode == 0
    assert continued(long) == "00000000b2" and continued(alone) is None
    assert outcome(long) == outcome(alone)
