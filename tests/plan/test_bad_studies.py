"""Every mistake a study can hold is named with its line, its key, what was found and what is allowed."""

import re

import pytest

from espalier.plan.build import build
from espalier.settings.problems import StudyError

GOOD = "title: a study\ndataset: digits\nmodel: resnet\n"

DRAW = "sample: {points: 2, method: random}\nspace:\n  "
CASES = {
    "control character": ('description: "a\\x07b"', 4, "description", r"'a\x07b' holds a control character; remove it"),
    "control character in a label": (
        'grid: {product: {model: {"a\\e[31m": lenet}}}',
        4,
        "grid.product.model",
        "holds a control character; remove it",
    ),
    "unknown key": ("repeat: 3", 4, "repeat", "did you mean 'repeats'?"),
    "wrong type": ("repeats: three", 4, "repeats", "found 'three', expected a whole number"),
    "too small": ("repeats: 0", 4, "repeats", "found 0, expected a number of at least 1"),
    "number as text": ('train: {epochs: "5"}', 4, "train.epochs", "found '5', expected a whole number"),
    "fraction for a count": (
        "train:\n  batch_size: 32.5",
        5,
        "train.batch_size",
        "found 32.5, expected a whole number",
    ),
    "yes is no truth value": ("train:\n  channels_last: yes", 5, "train.channels_last", "expected true or false"),
    "seed as an axis": ("grid:\n  product:\n    seed: [1, 2]", 6, "seed", "unknown key path 'seed'"),
    "key twice": ("augment: []\nmodel: resent", 5, "", 'found duplicate key "model"'),
    "unknown optimizer": ("train:\n  optimizer: sdg", 5, "train.optimizer", "did you mean 'sgd'?"),
    "unknown setting": (
        "train:\n  optimizer: {name: adam, momentum: 0.9}",
        5,
        "train.optimizer.momentum",
        "unknown key 'momentum'",
    ),
    "setting out of range": (
        "train:\n  optimizer:\n    name: sgd\n    lr: -0.1",
        7,
        "train.optimizer.lr",
        "found -0.1, expected a number greater than 0",
    ),
    "infinite setting": (
        "train:\n  optimizer: {name: sgd, lr: .inf}",
        5,
        "train.optimizer.lr",
        "expected a finite number",
    ),
    "unknown augmentation": ("augment:\n  - pad_crop\n  - flop", 6, "augment.1", "unknown name 'flop'"),
    "augmentation without a list": ("augment: pad_crop", 4, "augment", "expected a list"),
    "incomplete section": ("train:\n  early_stopping: {}", 5, "train.early_stopping.patience", "missing"),
    "more processes than images": (
        "train:\n  batch_size: 2\n  processes: 4",
        5,
        "train.batch_size",
        "2 images leave some of 4 processes without one",
    ),
    "unknown choice": ("train:\n  precision: fp8", 5, "train.precision", "expected 'fp32', 'tf32', 'bf16' or 'fp16'"),
    "unknown stage": ("stages: [train, prun]", 4, "stages.1", "found 'prun'"),
    "stages without training": ("stages: [evaluate]", 4, "stages", "every chain begins with train"),
    "unknown axis": ("grid:\n  product:\n    train.optimzer: [sgd]", 6, "train.optimzer", "did you mean 'optimizer'?"),
    "axis without its section": (
        "grid:\n  product:\n    optimizer: [sgd]",
        6,
        "optimizer",
        "did you mean 'train.optimizer'?",
    ),
    "bad value on an axis": (
        "grid:\n  product:\n    train.batch_size:\n      - 1\n      - 0",
        8,
        "train.batch_size",
        "found 0, expected a number of at least 1",
    ),
    "bad labelled value": (
        "grid:\n  product:\n    train.optimizer:\n      good: sgd\n      bad: {name: sgd, lrr: 1}",
        8,
        "train.optimizer.lrr",
        "did you mean 'lr'?",
    ),
    "empty axis": ("grid:\n  product:\n    model: []", 6, "grid.0.product.model", "at least 1 value"),
    "axis into a number": (
        "grid:\n  product:\n    train.epochs.more: [1]",
        6,
        "train.epochs",
        "expected a whole number",
    ),
    "one label for two values": (
        "grid:\n- product: {train.epochs: {long: 20, short: 2}}\n- product: {train.epochs: {long: 30}}",
        4,
        "train.epochs",
        "the label 'long' is given to two values",
    ),
    "unequal zip": (
        "grid:\n  zip: {train.epochs: [1, 2], model: [lenet]}",
        5,
        "grid.zip",
        "train.epochs has 2, model has 1",
    ),
    "exclude matches nothing": (
        "grid:\n  product: {train.epochs: [1, 2]}\n  exclude: [{train.epoch: 1}]",
        4,
        "train.epoch",
        "did you mean 'train.epochs'?",
    ),
    "nothing left": (
        "grid:\n  product: {train.epochs: [1, 2]}\nconstraints: [train.epochs > 5]",
        4,
        "grid",
        "no point is left",
    ),
    "malformed budget": ("constraints:\n  - params << 5", 5, "constraints", "expected a comparison with a number"),
    "unknown budget": ("constraints: [flops < 5]", 4, "constraints", "unknown quantity 'flops'"),
    "budget on a text": ("constraints: [train.precision < 5]", 4, "constraints", "a constraint compares numbers"),
    "image too small": (
        "grid:\n  points:\n  - {dataset.image_size: 8, model: lenet}",
        6,
        "model",
        "lenet takes images of 16x16 and more",
    ),
    "unequal lists of one model": (
        "grid:\n  product:\n    model.blocks: [[1, 1]]",
        6,
        "model",
        "blocks has 2 and channels has 3",
    ),
    "augmentations out of order": ("augment: [cutout, pad_crop]", 4, "augment", "pad_crop works on uint8 images"),
    "two mixtures": ("augment: [mixup, cutmix]", 4, "augment", "both mix images; keep one"),
    "unknown table": ("tables: [sumary]", 4, "tables.0", "did you mean 'summary'?"),
    "table without its axis": (
        "grid:\n  product: {train.epochs: [1, 2]}\ntables:\n  - {name: by_axis, axis: model}",
        7,
        "tables.0.axis",
        "unknown axis 'model' (allowed: train.epochs)",
    ),
    "unknown metric": ("evaluate: {metrics: [nll, acc]}", 4, "evaluate.metrics.1", "unknown name 'acc'"),
    "metric twice": ("evaluate:\n  metrics: [ece, {name: ece, bins: 5}]", 5, "evaluate.metrics", "ece is named twice"),
    "unknown corruption": (
        "evaluate:\n  corruptions: {names: [fog]}",
        5,
        "evaluate.corruptions.names.0",
        "found 'fog', expected 'gaussian_noise'",
    ),
    "table of a metric that nothing measures": (
        "evaluate: {metrics: [nll]}\ntables: [per_class]",
        5,
        "tables.0",
        "per_class shows the metric per_class, which no point measures; add it to evaluate.metrics",
    ),
    "table of corruptions that nothing suffers": (
        "tables: [robustness]",
        4,
        "tables.0",
        "robustness shows scores on corrupted images; set evaluate.corruptions",
    ),
    "configuration that is no point": (
        "grid: {product: {train.epochs: [1, 2]}}\nfigures:\n  - {name: confusion, configuration: {train.epochs: '3'}}",
        6,
        "figures.0.configuration",
        "unknown label of train.epochs '3'",
    ),
    "figure twice": ("figures: [curves, curves]", 4, "figures.1", "'curves' is asked for twice"),
    "distribution without bounds": (
        DRAW + "train.optimizer.lr: log_uniform",
        6,
        "space.train.optimizer.lr",
        "log_uniform has no bounds; write {log_uniform: [1e-3, 1]}",
    ),
    "distribution of null": (
        DRAW + "train.optimizer.lr: {uniform: null}",
        6,
        "space.train.optimizer.lr",
        "uniform needs two bounds, found None",
    ),
    "one bound": (
        DRAW + "train.optimizer.lr: {uniform: [1]}",
        6,
        "space.train.optimizer.lr",
        "uniform needs two bounds, found [1]",
    ),
    "bounds that fall": (
        DRAW + "train.optimizer.lr: {log_uniform: [1, 1e-3]}",
        6,
        "space.train.optimizer.lr",
        "the lower bound comes first and is smaller, found [1, 0.001]",
    ),
    "bounds that are one": (
        DRAW + "train.epochs: {integer: [3, 3]}",
        6,
        "space.train.epochs",
        "the lower bound comes first and is smaller",
    ),
    "logarithm of zero": (
        DRAW + "train.optimizer.weight_decay: {log_uniform: [0, 1]}",
        6,
        "space.train.optimizer.weight_decay",
        "found 0, expected bounds greater than 0",
    ),
    "infinite bound": (
        DRAW + "train.optimizer.lr: {uniform: [0, .inf]}",
        6,
        "space.train.optimizer.lr",
        "found inf, expected a finite number",
    ),
    "fraction for a whole bound": (
        DRAW + "train.epochs: {integer: [1, 2.5]}",
        6,
        "space.train.epochs",
        "found 2.5, expected a whole number",
    ),
    "mistyped distribution": (
        DRAW + "train.optimizer.lr: {log_unifrom: [1e-3, 1]}",
        6,
        "space.train.optimizer.lr",
        "unknown distribution 'log_unifrom'; did you mean 'log_uniform'?",
    ),
    "distribution with a step": (
        DRAW + "train.optimizer.lr: {uniform: [0.1, 1], step: 0.1}",
        6,
        "space.train.optimizer.lr",
        "uniform stands alone",
    ),
    "single value in a space": (
        DRAW + "train.epochs: 5",
        6,
        "space.train.epochs",
        "found 5, expected a list of values, or {log_uniform: [1e-3, 1]}",
    ),
    "no value in a space": (
        DRAW + "train.epochs: []",
        6,
        "space.train.epochs",
        "found [], expected a list of values",
    ),
    "unknown axis of a space": (
        DRAW + "train.optimzer.lr: {uniform: [0.1, 1]}",
        6,
        "train.optimzer",
        "did you mean 'optimizer'?",
    ),
    "fractions drawn for a count": (
        DRAW + "train.epochs: {uniform: [1, 10]}",
        6,
        "train.epochs",
        "expected a whole number",
    ),
    "bound out of range": (
        DRAW + "train.optimizer.momentum: {uniform: [0.5, 100]}",
        6,
        "train.optimizer.momentum",
        "expected a number less than 1",
    ),
    "bad value in a space": (
        DRAW + "augment: {none: [], bad: [flop]}",
        6,
        "augment.0",
        "unknown name 'flop'",
    ),
    "axis in space and grid": (
        "grid: {product: {train.epochs: [1, 2]}}\nsample: {points: 2, method: random}\nspace:\n  train.epochs: [1, 2]",
        7,
        "space.train.epochs",
        "is an axis of grid too; keep one of them",
    ),
    "space without a sample": ("space: {train.epochs: [1, 2]}", 4, "space", "add sample: {points: 64}"),
    "sample of nothing": ("sample: {points: 2}", 4, "sample", "there is nothing to draw from; add space, or a grid"),
    "sobol of a grid": (
        "grid: {product: {train.epochs: [1, 2]}}\nsample:\n  points: 1\n  method: sobol",
        7,
        "sample.method",
        "a grid is taken in a random order: leave method out",
    ),
    "unknown method": (
        "space: {train.epochs: [1, 2]}\nsample: {points: 2, method: halton}",
        5,
        "sample.method",
        "'sobol'",
    ),
    "no points": ("space: {train.epochs: [1, 2]}\nsample: {points: 0}", 5, "sample.points", "a number of at least 1"),
    "more points than a space has": (
        "space: {train.epochs: {integer: [1, 3]}}\nsample: {method: random, points: 4}",
        5,
        "sample.points",
        "4 are asked for, and 400 draws of the space leave 3; ask for fewer, or widen space",
    ),
    "more points than a grid has": (
        "grid: {product: {train.epochs: [1, 2, 3]}, exclude: [{train.epochs: 2}]}\nsample: {points: 3}",
        5,
        "sample.points",
        "3 are asked for, and the grid has 2; ask for fewer, or widen grid",
    ),
    "conditions of a space match nothing": (
        DRAW + "train.epochs: [1, 2]\ngrid:\n  exclude: [{train.epoch: 1}]",
        7,
        "train.epoch",
        "did you mean 'train.epochs'?",
    ),
    "budgets leave nothing of a space": (
        DRAW + "train.epochs: [1, 2]\nconstraints: [train.epochs > 5]",
        4,
        "sample.points",
        "leave 0; ask for fewer",
    ),
    "more chains than a plan holds": (
        "space: {train.epochs: [1, 2]}\nsample: {points: 100001}",
        5,
        "sample",
        "more than the 100,000",
    ),
    "not YAML": ("train: {epochs: 3", 5, "", "not valid YAML"),
    "tab for indentation": ("train:\n\tepochs: 3", 5, "", "not valid YAML"),
}


def problems_of(tmp_path, text, **overrides):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(StudyError) as raised:
        build([str(path)], tmp_path, overrides)
    return raised.value.problems, path


@pytest.mark.parametrize(("text", "line", "key", "message"), CASES.values(), ids=CASES)
def test_one_mistake_is_one_message(tmp_path, text, line, key, message):
    problems, path = problems_of(tmp_path, GOOD + text + "\n")
    assert len(problems) == 1, problems
    assert problems[0].place == f"{path}:{line}"
    assert problems[0].key == key
    assert message in problems[0].message


def test_a_missing_key_names_the_file(tmp_path):
    problems, path = problems_of(tmp_path, "dataset: digits\nmodel: resnet\n")
    assert str(problems[0]) == f"{path}:1: title: missing; it has no default"


def test_a_study_without_a_model_says_so_once(tmp_path):
    problems, path = problems_of(tmp_path, "title: t\ndataset: digits\ngrid: {product: {train.epochs: [1, 2]}}\n")
    assert [str(problem) for problem in problems] == [f"{path}:1: model: missing; it has no default"]


def test_all_mistakes_come_at_once_in_the_order_of_the_file(tmp_path):
    text = GOOD + "\n".join(
        [
            "repeats: 0",
            "train: {batch_size: 0, optimizer: {name: sgd, lrr: 1}}",
            "grid:",
            "  - product: {train.precision: [fp8]}",
            "  - products: {}",
            "  - product: {model: [lenet, resent]}",
            "colour: blue",
        ]
    )
    problems, _ = problems_of(tmp_path, text)
    lines = [int(problem.place.rpartition(":")[2]) for problem in problems]
    assert lines == [4, 5, 5, 7, 8, 9, 10]


def test_mistakes_of_every_study_come_together(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(GOOD + "repeats: 0\n")
    with pytest.raises(StudyError) as raised:
        build(["one", "two", "three"], tmp_path)
    places = [problem.place for problem in raised.value.problems]
    assert places == ["", f"{tmp_path}/one.yaml:4", f"{tmp_path}/two.yaml:4"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StudyError, match=r"absent\.yaml: cannot be read: No such file"):
        build([str(tmp_path / "absent.yaml")], tmp_path)


def test_an_override_is_named_as_such(tmp_path):
    problems, _ = problems_of(tmp_path, GOOD, train={"batch_size": "0", "optimizer": {"lrr": "1"}})
    assert {problem.place for problem in problems} == {"--config"}
    assert sorted(problem.key for problem in problems) == ["train.batch_size", "train.optimizer.lrr"]


def test_messages_show_no_internals(tmp_path):
    for text, *_ in CASES.values():
        problems, _ = problems_of(tmp_path, GOOD + text + "\n")
        for problem in problems:
            assert not re.search(r"pydantic|_type|\x00|Error\b", str(problem)), problem


def test_two_studies_of_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.yaml").write_text(GOOD)
    with pytest.raises(StudyError, match="two studies are named 'same'"):
        build([str(tmp_path / "a/same.yaml"), str(tmp_path / "b/same.yaml")], tmp_path)


@pytest.mark.parametrize("name", ["a b.yaml", "a;touch x.yaml", "$(x).yaml"])
def test_a_name_that_a_shell_would_read_is_refused(tmp_path, name):
    (tmp_path / name).write_text(GOOD)
    with pytest.raises(StudyError, match="is no name for a study"):
        build([str(tmp_path / name)], tmp_path)
