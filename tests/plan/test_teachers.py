"""Teachers in a plan: runs like any other, completed from the chain's settings, shared, and told of in one line."""

import json

import pytest

from espalier.plan.build import build
from espalier.plan.manifest import manifest
from espalier.plan.plan_records import PlanRecords
from espalier.plan.priorities import priorities
from espalier.settings.problems import StudyError

SMALL, LARGE = "{name: resnet, blocks: [1, 1], channels: [4, 8]}", "{name: resnet, blocks: [1, 1], channels: [8, 16]}"
BASE = f"title: a study\ndataset: digits\nmodel: {SMALL}\naugment: [pad_crop]\ntrain: {{epochs: 2}}\n"


def planned(tmp_path, text, base=BASE, **overrides):
    (tmp_path / "asked.yaml").write_text(base + text)
    return build(["asked"], tmp_path, overrides)


def points(plan):
    (study,) = plan.studies.values()
    return study.points


def grid(*axes, stages="[train]"):
    return f"stages: {stages}\ngrid:\n" + "".join(f"  - product: {{{axis}}}\n" for axis in axes)


def alone(tmp_path, model, train="{epochs: 2}", **overrides):
    """The run of a network that has no teacher."""
    base = f"title: another\ndataset: digits\nmodel: {model}\naugment: [pad_crop]\ntrain: {train}\nstages: [train]\n"
    return points(planned(tmp_path, "", base, **overrides))[0].runs["train"]


def test_a_teacher_is_what_the_chain_is_but_for_what_is_said(tmp_path):
    text = grid("train.teacher: [{model: {channels: [8, 16]}, train: {optimizer: {lr: 0.05}}}]")
    (point,) = points(planned(tmp_path, text))
    student = point.runs["train"]
    assert student.teacher == alone(tmp_path, LARGE, "{epochs: 2, optimizer: {lr: 0.05}}")
    assert student.words[-1] == "train.teacher={}", "the teacher's settings are those of its run alone"
    assert "-taught-" in student.name and "-taught-" not in student.teacher.name
    place = student.command.index("--teacher")
    assert student.command[place + 1] == student.teacher.path


def test_another_network_is_named_whole_and_another_seed_is_one_for_all_repeats(tmp_path):
    text = grid("train.teacher: [{model: {name: mlp, hidden: [8]}, seed: 7, temperature: 2.0}]") + "repeats: 2\n"
    plan = planned(tmp_path, text)
    one, two = (point.runs["train"] for point in points(plan))
    assert one.teacher == two.teacher == alone(tmp_path, "{name: mlp, hidden: [8]}", seed=7)
    assert (one.spec.seed, two.spec.seed) == (0, 1)
    assert len(plan.runs["train"]) == 3
    assert one.words[-1] == "train.teacher.temperature=2.0"


def test_a_teacher_is_shared_by_students_and_with_a_point_of_its_settings(tmp_path):
    teacher = f"train.teacher: {{alone: null, taught: {{model: {LARGE}, train: {{epochs: 3}}}}}}"
    text = grid(f"{teacher}, train.batch_size: [64, 128]", f"model: [{LARGE}], train.epochs: [3]")
    plan = planned(tmp_path, text)
    runs = plan.runs["train"].values()
    # Of batches of 64 and of 128 the teacher differs too, and one is a point.
    assert len(runs) == 6 and sum(run.teacher is not None for run in runs) == 2
    text = grid(f"{teacher}, train.teacher.temperature: [2.0, 4.0]", f"model: [{LARGE}], train.epochs: [3]")
    plan = planned(tmp_path, text.replace("alone: null, ", ""))
    first, second, own = (point.runs["train"] for point in points(plan))
    assert first.teacher is not None and first.teacher == second.teacher == own
    assert len(plan.runs["train"]) == 3 and next(iter(plan.runs["train"])) == own.name
    assert "4 unique" in plan.summary()


def test_the_teacher_is_part_of_the_id_only_where_there_is_one(tmp_path):
    text = grid("train.teacher: {none: null, itself: {}, larger: {model: {channels: [8, 16]}}}")
    none, itself, larger = (point.runs["train"] for point in points(planned(tmp_path, text)))
    assert none == alone(tmp_path, SMALL) == itself.teacher
    assert itself.spec == larger.spec and itself.id != larger.id


def test_a_teacher_may_have_one(tmp_path):
    text = grid("train.teacher: [{train: {teacher: {model: {channels: [8, 16]}}}, weight: 0.5}]")
    plan = planned(tmp_path, text)
    student = points(plan)[0].runs["train"]
    assert student.teachers == [student.teacher.teacher, student.teacher]
    assert student.teacher.teacher == alone(tmp_path, LARGE)
    assert list(plan.runs["train"].values()) == [*student.teachers, student]


@pytest.mark.parametrize(
    ("axis", "stage"),
    [
        ("prune: [magnitude], fine_tune.teacher: {itself: {}, larger: {model: {channels: [8, 16]}}}", "prune"),
        (
            "quantize: {itself: {fine_tune: {teacher: {}}}, "
            "larger: {fine_tune: {teacher: {model: {channels: [8, 16]}}}}}",
            "quantize",
        ),
    ],
)
def test_what_follows_training_may_be_taught_by_the_network_before_or_any_other(axis, stage, tmp_path):
    plan = planned(tmp_path, grid(axis, stages="[train, prune, quantize]"))
    itself, larger = (point.runs[stage] for point in points(plan))
    assert itself.teacher == itself.networks[0] == alone(tmp_path, SMALL)
    assert larger.teacher == alone(tmp_path, LARGE)
    assert len(plan.runs["train"]) == 2


def test_a_taught_network_teaches_what_follows_it(tmp_path):
    axis = "prune: [magnitude], train.teacher: [{model: {channels: [8, 16]}}], fine_tune.teacher: {itself: {}}"
    (point,) = points(planned(tmp_path, grid(axis, stages="[train, prune]")))
    assert point.runs["prune"].teacher == point.runs["train"]


def test_a_control_from_scratch_has_the_teacher_of_its_parent(tmp_path):
    axis = "prune: [magnitude], control: [scratch], train.teacher: {none: null, larger: {model: {channels: [8, 16]}}}"
    none, larger = points(
        planned(tmp_path, grid(f"{axis}, fine_tune.teacher: {{itself: {{}}}}", stages="[train, prune]"))
    )
    assert none.runs["prune"].teacher is None
    assert larger.runs["prune"].teacher == larger.runs["train"].teacher


def test_settings_that_no_stage_reads_make_no_teacher(tmp_path):
    plan = planned(tmp_path, "fine_tune: {teacher: {model: {channels: [8, 16]}}}\n")
    assert len(plan.runs["train"]) == 1


WRONG = {
    "unknown key": ("{temprature: 2.0}", "train.teacher.temprature", "did you mean 'temperature'?"),
    "unknown key of its training": ("{train: {epoch: 3}}", "train.teacher.train.epoch", "did you mean 'epochs'?"),
    "unknown network": ("{model: resent}", "train.teacher.model", "did you mean 'resnet'?"),
    "setting of another network": ("{model: {hidden: [3]}}", "train.teacher.model.hidden", "unknown key 'hidden'"),
    "weight": ("{weight: 1.5}", "train.teacher.weight", "a number of at most 1"),
    "temperature": ("{temperature: 0}", "train.teacher.temperature", "a number greater than 0"),
    "no published weights": ("{pretrained: true}", "train.teacher.pretrained", "no weights of resnet are published"),
    "no epochs": ("{train: {epochs: 0}}", "train.teacher.train.epochs", "0 leaves a network untrained"),
    "no mapping": ("resnet", "train.teacher", "found 'resnet', expected a mapping"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_told_in_one_line(name, tmp_path):
    teacher, key, message = WRONG[name]
    base = BASE.replace("train: {epochs: 2}", f"train:\n  epochs: 2\n  teacher: {teacher}")
    with pytest.raises(StudyError) as found:
        planned(tmp_path, "", base)
    (line,) = str(found.value).splitlines()
    assert f"asked.yaml:7: {key}: " in line and message in line


@pytest.mark.parametrize(
    ("said", "key", "message"),
    [
        ("model: {name: resnet, dropout: 2.0}", "model.dropout", "found 2.0"),
        ("train: {optimizer: {lr: -1.0}}", "train.optimizer.lr", "found -1.0"),
        ("train: {batch_size: 2, processes: 4}", "train.batch_size", "2 images leave some of 4"),
    ],
)
def test_a_mistake_of_the_chain_is_not_told_again_of_its_teacher(said, key, message, tmp_path):
    base = "title: a study\ndataset: digits\n" + (said if said[0] == "m" else f"model: {SMALL}\n{said}") + "\n"
    with pytest.raises(StudyError) as found:
        planned(tmp_path, grid("train.teacher: [{}]"), base)
    (line,) = str(found.value).splitlines()
    assert f"{key}: " in line and message in line


def test_a_teacher_in_vain_is_a_mistake(tmp_path):
    text = "prune: magnitude\nfine_tune: {epochs: 0, teacher: {}}\n"
    with pytest.raises(StudyError, match=r"fine_tune\.teacher: in 0 epochs nothing is learned of it"):
        planned(tmp_path, text)


def test_a_label_of_a_teacher_holds_whatever_the_chain_is(tmp_path):
    text = grid("model: {small: %s, large: %s}, train.teacher: {taught: {}}" % (SMALL, LARGE))  # noqa: UP031
    assert [point.labels for point in points(planned(tmp_path, text))] == [
        {"model": size, "train.teacher": "taught"} for size in ("small", "large")
    ]
    text = grid("train.teacher: {one: {}}", "train.teacher: {one: {temperature: 2.0}}")
    with pytest.raises(StudyError, match="the label 'one' is given to two values"):
        planned(tmp_path, text)


def test_unlabelled_teachers_are_named_by_their_network(tmp_path):
    text = grid("train.teacher: [null, {model: {channels: [8, 16]}}, {temperature: 2.0}]")
    labels = [point.labels["train.teacher"] for point in points(planned(tmp_path, text))]
    assert labels == [
        "none",
        "resnet blocks=1-1 channels=8-16 T=4.0 weight=0.9",
        "resnet blocks=1-1 channels=4-8 T=2.0 weight=0.9",
    ]


def test_small_runs_have_small_teachers(tmp_path):
    teacher = "train.teacher: {larger: {model: {channels: [8, 16]}, train: {epochs: 9, teacher: {}}}}"
    text = grid(teacher)
    full, small = planned(tmp_path, text), planned(tmp_path, text, scale="smoke")
    assert len(full.runs["train"]) == len(small.runs["train"]) == 3
    assert not set(full.runs["train"]) & set(small.runs["train"])
    for run in small.runs["train"].values():
        assert run.spec.train.epochs == 1 and run.spec.train.batch_size <= 32
    ((one,), (other,)) = points(full), points(small)
    for run, cut in zip(one.all_runs, other.all_runs, strict=True):
        assert cut.stands_for == run.id


def test_the_index_of_a_study_names_teachers_that_stand_in_no_chain(tmp_path):
    text = grid("train.teacher: {none: null, larger: {model: {channels: [8, 16]}, seed: 3}}")
    told = json.loads(json.dumps(manifest(planned(tmp_path, text).studies["asked"])))
    students = [run for run in told["runs"].values() if "teacher" in run]
    (teacher,) = (told["runs"][run["teacher"]] for run in students)
    assert teacher["settings"]["model.channels"] == [8, 16] and teacher["settings"]["seed"] == 3
    settings = {key for key in students[0]["settings"] if key.startswith("train.teacher")}
    assert settings == {"train.teacher.temperature", "train.teacher.weight"}
    in_chains = {id_ for point in told["points"] for id_ in point["runs"].values()}
    assert set(told["runs"]) - in_chains == {students[0]["teacher"]}


def test_a_teacher_goes_before_its_students(tmp_path):
    plan = planned(tmp_path, grid("train.teacher: [{model: {channels: [8, 16]}}]"))
    student = points(plan)[0].runs["train"]
    found = priorities(plan)
    assert found[student.teacher.name] == 0 > found[student.name]


def test_nothing_stands_of_a_plan_whose_teacher_was_never_made(tmp_path):
    plan = planned(tmp_path, grid("train.teacher: [{model: {channels: [8, 16]}}]"))
    standing = PlanRecords(plan, tmp_path)
    assert len(standing.unmade()) == 3 and not standing.problems
