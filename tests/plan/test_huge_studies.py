"""Studies made to harm, or huge by mistake, end in one line, quickly and in little memory."""

import resource
import subprocess
import sys
import time

import pytest

from espalier.plan import limits
from espalier.plan.build import build
from espalier.settings.bounded_yaml import Unreadable, read
from espalier.settings.problems import StudyError

HEAD = "title: a study\ndataset: digits\nmodel: lenet\n"


def multiplied(open_, close):
    lines = [f"a0: &a0 {open_}x{close}"]
    lines += [f"a{i}: &a{i} {open_}{', '.join([f'*a{i - 1}'] * 9)}{close}" for i in range(1, 10)]
    return "\n".join(lines) + "\n"


MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 9))
AXES = ", ".join(f"train.{key}: [{', '.join(map(str, range(1, 101)))}]" for key in ("epochs", "batch_size"))
STUDIES = {
    "brackets": ("model.widths: " + "[" * 300 + "]" * 300, 4, "nested more than 40 deep"),
    "thousands of brackets": ("title2: " + "[" * 5000, 4, "nested more than 40 deep"),
    "braces": ("train: " + "{a: " * 300 + "}" * 300, 4, "nested more than 40 deep"),
    "blocks": ("".join(f"{'  ' * i}a:\n" for i in range(300)), 43, "nested more than 40 deep"),
    "dashes": ("grid:\n" + "- " * 3000, 5, "nested more than 40 deep"),
    "aliases": (multiplied("[", "]"), 9, "more than 50,000 values, each counted as often as aliases have it"),
    "merges": (MERGED, 9, "more than 50,000 values"),
    "alias of itself": ("grid: &a [*a]", 4, "an alias that stands for what it is in"),
    "chain of aliases": (
        "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 2000)),
        43,
        "nested more than 40 deep by its aliases",
    ),
    "digits": (f"repeats: {'9' * 5000}", 4, "a number of 5000 digits; at most 18 are read"),
    "hexadecimal digits": (f"seed: 0x{'f' * 5000}", 4, "at most 18 are read"),
    "digits of a rate": (f"train: {{optimizer: {{lr: {'9' * 4000}}}}}", 4, "a number of 4000 digits"),
    "grid": (
        f"grid: {{product: {{{AXES}, seed: [{', '.join(map(str, range(1000)))}]}}}}",
        4,
        "10,000,000 points × 1 repeat are more than the 100,000 chains that a plan holds",
    ),
    "repeats": ("repeats: 1000000", 4, "1 point × 1,000,000 repeats are more than the 100,000 chains"),
    "points and repeats": (f"grid: {{product: {{{AXES}}}}}\nrepeats: 11", 5, "10,000 points × 11 repeats"),
    "long text": (f"repeats: {'x' * 100_000}", 4, "found 'xxx"),
    "long key": (f"{'x' * 1000}: 1", 4, "unknown key 'xxx"),
    "size": (f"description: {'x ' * 200_000}", None, "at most 262,144 are read"),
    "tag": ("repeats: !!python/object:os.system x", 4, "means nothing here"),
    "no number": ("repeats: !!int abc", None, "not valid YAML: invalid literal"),
    "no truth": ("repeats: !!bool abc", None, "not valid YAML"),
    "no date": ("title2: 2024-13-45", None, "not valid YAML: month must be in 1..12"),
}


@pytest.mark.parametrize(("text", "line", "message"), STUDIES.values(), ids=STUDIES)
def test_one_line_names_the_place_and_what_is_too_much(text, line, message, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(HEAD + text + "\n")
    with pytest.raises(StudyError) as raised:
        build(["s"], tmp_path)
    (problem,) = raised.value.problems
    assert message in problem.message
    assert problem.place == (f"{path}:{line}" if line else str(path))
    assert "\n" not in str(problem) and len(str(problem)) < 3000


def test_what_is_large_and_within_the_bounds_is_planned(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "CHAINS", 6)
    text = "grid: {product: {train.epochs: [1, 2, 3]}, zip: {train.batch_size: [8, 16], seed2: [1, 2]}}\n"
    (tmp_path / "s.yaml").write_text(HEAD + text.replace(", seed2: [1, 2]", ""))
    assert len(build(["s"], tmp_path).runs["train"]) == 6
    (tmp_path / "s.yaml").write_text(HEAD + text.replace(", seed2: [1, 2]", "") + "repeats: 2\n")
    with pytest.raises(StudyError, match="6 points × 2 repeats"):
        build(["s"], tmp_path)


def test_bounds_do_not_reach_what_studies_hold():
    assert read("[" * 39 + "x" + "]" * 39) and read("9" * 18) == 10**18 - 1
    with pytest.raises(Unreadable, match="nested more than 40"):
        read("[" * 40 + "x" + "]" * 40)
    shared = "a: &a {lr: 0.1}\nb: [*a, *a]\nc: {<<: *a, momentum: 0.9}\n"
    assert read(shared) == {"a": {"lr": 0.1}, "b": [{"lr": 0.1}] * 2, "c": {"lr": 0.1, "momentum": 0.9}}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["brackets", "thousands of brackets", "aliases", "merges", "digits", "grid", "repeats"]
)
def test_a_process_takes_at_most_three_seconds_and_500_megabytes(name, tmp_path):
    (tmp_path / "s.yaml").write_text(HEAD + STUDIES[name][0] + "\n")
    code = "import sys, resource; from espalier.plan.build import build; from pathlib import Path\n"
    code += "from espalier.settings.problems import StudyError\n"
    code += f"try: build(['s'], Path({str(tmp_path)!r}))\nexcept StudyError as error: print(error)\n"
    code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    message, kib = done.stdout.splitlines()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{name}: {time.monotonic() - began:.2f} s, {cpu:.2f} CPU-s, {int(kib) / 1024:.0f} MiB: {message[:100]}")
    assert cpu < 3 and int(kib) < 500 * 1024
