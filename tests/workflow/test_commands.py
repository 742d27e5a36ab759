"""The command `espalier` on a study that has been run: it looks, forgets, clears up and verifies, and needs no lock."""

import json
import re

import pytest
from typer.testing import CliRunner

from espalier.cli import app
from espalier.runs import record
from espalier.runs.spoken_name import spoken_name


@pytest.fixture
def done(finished, tmp_path, monkeypatch):
    """A copy of a study that is done, in which commands are called."""
    copy = finished.copy(tmp_path / "copy")
    monkeypatch.chdir(copy.folder)
    return copy


def call(*words: str, code: int = 0) -> str:
    found = CliRunner().invoke(app, list(words))
    assert found.exit_code == code, found.output
    return found.output


def runs(done, stage: str):
    return sorted(done.folder.glob(f"results/runs/{stage}/*"))


def remove_studies(done, but: str):
    """Leave one study, so that no others are planned and their networks counted."""
    for path in done.folder.glob("config/studies/*.yaml"):
        if path.stem != but:
            path.unlink()


def test_status_needs_no_call_of_snakemake(repository, monkeypatch):
    monkeypatch.chdir(repository.folder)
    text = call("status", "tiny")
    assert re.search(r"all +- +- +- +- +5\n", text), text
    assert not (repository.folder / "results").exists()


def test_status_is_of_the_study_as_it_is_written_now(done):
    assert re.search(r"all +5 +- +- +- +-\n", call("status", "tiny"))
    done.edit("config/studies/tiny.yaml", "[0.1, 0.05]", "[0.1, 0.05, 0.02]")
    text = call("status", "tiny")
    assert re.search(r"all +5 +- +- +- +2\n", text), text
    assert "The last call of snakemake had the study as it was then: 5 runs, and here are 7" in text


def test_watching_ends_with_the_last_run(done):
    assert call("status", "tiny", "--watch", "--every", "0.01").count("all ") == 1


def test_a_page_says_which_keys_were_overridden(done):
    call("partial", "tiny", "--config", "repeats=3")
    page = (done.folder / "results/partial/tiny/index.html").read_text()
    assert "Not the study as its file has it: repeats = 3" in page
    assert "Not final: 8 waiting" in page
    assert "Not the study" not in (done.folder / "results/studies/tiny/index.html").read_text()


def test_a_run_is_shown_by_id_name_or_folder(done):
    folder = runs(done, "train")[0]
    texts = {
        call("show", name)
        for name in (
            str(folder.relative_to(done.folder)),
            folder.name,
            folder.name[-10:],
            spoken_name(folder.name[-10:]),
        )
    }
    (text,) = texts
    assert "outcome: done" in text and "train.epochs=2" in text and "model.safetensors" in text and "INFO" in text
    assert "no run of this id, name, spoken name or path" in call("show", "nothing", code=2)


def test_what_is_forgotten_is_made_again(done):
    folder = runs(done, "train")[0]
    assert "forgotten: results/runs/train/" in call("forget", folder.name)
    assert not folder.exists()
    call("forget", code=2)
    assert re.search(r"all +4 +- +- +- +1\n", call("status", "tiny"))


def test_forgetting_a_diverged_run_forgets_what_was_not_run_because_of_it(done):
    train, evaluate = runs(done, "train")[0], runs(done, "evaluate")[0]
    for folder, outcome, reason in ((train, "diverged", "nan"), (evaluate, "not run", f"{train.name} diverged")):
        content = json.loads((folder / "run.json").read_text())
        content |= {"outcome": outcome, "reason": reason, "because": train.name}
        content = {key: content[key] for key in content if key not in ("record", "sha256", "written", "read")}
        record.write(folder, content, [], {})
    assert call("forget", train.name).count("forgotten: ") == 2
    assert not train.exists() and not evaluate.exists()


def test_runs_that_no_study_asks_for_are_listed_and_removed(done):
    done.edit("config/studies/tiny.yaml", "[0.1, 0.05]", "[0.1]")
    remove_studies(done, but="tiny")
    plan = done.folder / "results/studies/tiny/plan.json"
    text = call("orphans")
    assert "1 study is planned: all of config/studies" in text
    assert "0 that no study asks for" in text, "the last plan asks for them"
    plan.unlink()
    text = call("orphans")
    assert "2 that no study asks for" in text and re.search(r"[1-9][\d,]* bytes\n", text)
    assert call("orphans", "--delete").count("removed: ") == 2
    assert len(runs(done, "train")) == len(runs(done, "evaluate")) == 1


def test_every_file_is_verified(done):
    assert "nothing wrong" in call("verify", "tiny")
    path = runs(done, "train")[1] / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    (data,) = done.folder.glob("results/data/*.safetensors")
    data.write_bytes(data.read_bytes()[:-1] + b"x")
    text = call("verify", "tiny", code=1)
    assert f"{path.name}: it is damaged" in text and f"espalier forget {path.parent.name}" in text
    assert f"{data.name}: damaged" in text and "2 wrong" in text


def test_status_names_a_damaged_run(done):
    path = runs(done, "train")[0] / "metrics.csv"
    path.write_text(path.read_text().replace("1", "2"))
    text = call("status", "tiny")
    assert re.search(r"damaged +train .*metrics\.csv: it is damaged.*espalier forget", text), text


def test_runs_of_studies_are_one_table(done, tmp_path):
    import pandas as pd

    from espalier import frame, load

    call("runs", "tiny", "-o", str(tmp_path / "out.csv"))
    found = pd.read_csv(tmp_path / "out.csv")
    shown = pd.read_csv(done.folder / "results/studies/tiny/runs.csv")
    assert found["study"].tolist() == ["tiny", "tiny"] and found.drop(columns="study").equals(shown)
    assert frame("tiny")["validation_top1"].tolist() == shown["validation_top1"].tolist()
    best = shown.loc[shown["validation_top1"].idxmax(), "folder.train"]
    assert str(load(study="tiny", best=True).path) == best
    assert "name a file that ends in" in call("runs", "tiny", "-o", "out.xlsx", code=2)


def test_a_study_starts_from_weights_of_another_one_however_they_are_written(done):
    train = runs(done, "train")[0]
    path = train.relative_to(done.folder) / "model.safetensors"
    files = [str(path), f"./{path}", f"results/../{path}", str(done.folder / path), {"run": train.name[-10:]}]
    points = json.dumps([{"checkpoint": file} for file in [*files, {"study": "tiny", "best": True}]])
    lines = [line for line in (done.folder / "config/studies/tiny.yaml").read_text().splitlines() if ":" in line]
    head = [line for line in lines if line.startswith(("title", "dataset", "model"))]
    (done.folder / "config/studies/after.yaml").write_text("\n".join([*head, f"grid: {{points: {points}}}\n"]))
    listed = done.snakemake("-n", "--config", "studies=after")
    # The same path, a run's id and perhaps the best are one run; each other way to write the path is one of its own.
    assert re.search(r"train +[45]\n", listed.stdout + listed.stderr), listed.stdout
    remove_studies(done, but="after")
    (done.folder / "results/studies/tiny/plan.json").unlink()
    done.edit("config/studies/after.yaml", json.dumps({"study": "tiny", "best": True}), "null")
    assert str(train.relative_to(done.folder)) not in call("orphans")
