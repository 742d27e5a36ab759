"""The settings of one chain, and the runs that they make."""

from collections.abc import Collection, Mapping
from copy import copy
from dataclasses import replace
from typing import Any

from pydantic import create_model, model_validator
from pydantic.fields import FieldInfo

from espalier.plan import teachers
from espalier.plan.runs import Run
from espalier.settings.registry import Spec
from espalier.stages import STAGES
from espalier.stages.frame.stage_run import section


def _sections() -> dict[str, tuple[Any, FieldInfo]]:
    found: dict[str, tuple[Any, FieldInfo]] = {}
    for stage in STAGES.values():
        for key, field in stage.settings.model_fields.items():
            found.setdefault(key, (field.annotation, copy(field)))
    return found


class WithTeachers(Spec):
    """Settings with teachers: what a study leaves out of a teacher is taken from the chain."""

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, data: Any) -> Any:
        return teachers.completed(data)


Sections = create_model("Sections", __base__=WithTeachers, __doc__="What all stages read.", **_sections())


class Settings(Sections):
    """All settings of one chain, every stage's together."""

    def stages(self, wanted: Collection[str] = tuple(STAGES)) -> tuple[str, ...]:
        """The stages of the chain: those wanted, less the optional ones that the settings leave out."""
        chosen = (stage for stage in STAGES.values() if stage.name in wanted or stage.reads == "source")
        return tuple(stage.name for stage in chosen if not stage.optional or getattr(self, stage.name) is not None)

    def stage(self, name: str) -> Spec:
        """The settings that one stage reads."""
        kind = STAGES[name].settings
        return kind(**{key: getattr(self, key) for key in kind.model_fields})

    def unread(self) -> set[str]:
        """Names of the sections that no stage of this chain reads.

        `control_epochs` is among them unless the control is `scratch`. The section of an optional stage never is, since
        setting it to null is what leaves the stage out.
        """
        read = {key for name in self.stages() for key in STAGES[name].settings.model_fields}
        read -= {"control_epochs"} if self.control != "scratch" else set()
        return set(type(self).model_fields) - read - {stage.name for stage in STAGES.values() if stage.optional}

    def reduced(self) -> "Settings":
        """The same chain, with what it does not read at its defaults."""
        return self.model_copy(update={key: type(self).model_fields[key].default for key in self.unread()})


def chain(specs: dict[str, Spec], full: Mapping[str, Run] | None = None) -> dict[str, Run]:
    """The runs of one point, each the parent of the next; a branch has a parent and is none.

    Args:
        full: the runs whose places these smoke runs take
    """
    runs: dict[str, Run] = {}
    parent = None
    for name, spec in specs.items():
        stage = STAGES[name]
        branches = tuple(run for run in runs.values() if STAGES[run.stage].branch) if stage.scores_chain else ()
        runs[name] = _run(name, spec, parent, branches, full[name] if full else None)
        if getattr(spec, "control", None) == "scratch":
            # It is trained as its parent was.
            runs[name] = replace(runs[name], teacher=runs["train"].teacher)
        if not stage.branch:
            parent = runs[name]
    return runs


def _run(name: str, spec: Spec, parent: Run | None, branches: tuple[Run, ...], full: Run | None) -> Run:
    """A run, after that of its teacher where its settings ask for one.

    Args:
        full: the run whose place this one takes
    """
    train, teacher = section(STAGES[name], spec), None
    if train is not None and train.teacher:
        teacher = _run("train", teachers.spec(train.teacher, spec.seed), parent.data, (), full and full.teacher)
        spec = teachers.without_teacher(spec, STAGES[name].training)
    return Run(name, spec, parent, branches, full.id if full else "", teacher)
