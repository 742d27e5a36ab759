"""The tables and figures that a study asks for, made by name from their registries."""

import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from espalier.errors import Mistake
from espalier.plan import published_numbers
from espalier.results.format import style
from espalier.results.format.captions import Caption
from espalier.results.format.marks import marked_figure, marked_table
from espalier.results.format.notices import diverged, noticed
from espalier.results.format.printed_columns import select_columns, varying_columns
from espalier.results.format.table import table_of
from espalier.results.read.planned_study import Study
from espalier.results.read.zoo_counts import COUNTED, FOLDER
from espalier.settings.misdeclared import TAKEN
from espalier.settings.registry import entries
from espalier.stages import STAGES

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Failure:
    """Why a table or figure could not be made."""

    place: str
    """its files without their endings, in the study's folder"""
    why: str
    """in one line"""
    trace: str
    """where in the code; nothing of a mistake that its line tells whole"""

    def message(self) -> str:
        """``tables/pruning: not made: …``"""
        return f"{self.place}: not made: {self.why}"


@dataclass(frozen=True)
class StudyOutput:
    """One table or figure of a study; `key` is the name of its files."""

    kind: Literal["table", "figure"]
    key: str
    name: str
    settings: Mapping[str, Any]
    columns: tuple[str, ...] = ()
    """of a table: headings of those to print; none for all that tell rows apart"""

    def caption(self, study: Study) -> Caption:
        """The caption, which needs the plan alone: the workflow's report asks for it before any run is there.

        What a function `caption` beside the registered one says, or else the beginning of its docstring, the first
        sentence as the title, with the settings.
        """
        entry = self._entry
        settings = {key: default for key, (_, default, _) in entry.settings.items()} | self.settings
        if entry.captioned:
            said = entry.imported().caption(study, **settings)
        else:
            from espalier.plan.grid import label

            title, _, text = " ".join(entry.doc.partition("\n\n")[0].split()).removesuffix(".").partition(". ")
            given = [f"{key} {label(value)}" for key, value in settings.items()]
            said = Caption(title, f"{text}." if text else "").with_text(f"With {', '.join(given)}." if given else "")
        return noticed(said, study)

    def make(self, *args: Any) -> Any:
        """Call the registered function with `args`, the study last, and the settings that the study gives; what is
        optimistic comes marked."""
        made = self._entry.load()(*self._of_stage(args), **self.settings)
        study = args[-1]
        if self.kind == "figure":
            return marked_figure(made, study)
        table = replace(marked_table(made, study), caption=self.caption(study).with_text(*diverged(args[0])))
        return select_columns(table, self.columns) if self.columns else varying_columns(table)

    def _of_stage(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The same arguments; of what is registered for a stage, without what chains do after it, or after `until`."""
        stage = STAGES.get(self.facts.get("until", self.facts.get("stage")))
        if stage is None or not stage.changes:
            return args
        from espalier.results.read.stage_networks import until

        frame, *history, study = args
        frame, study = until(frame, study, stage.name)
        return frame, *history, study

    def make_or_explain(self, *args: Any) -> tuple[Any, Failure | None]:
        """What `make` makes; or, where it fails, a table or figure that says so, and why it failed."""
        try:
            return self.make(*args), None
        except Exception as error:
            failure = self.failure(error)
            return self.placeholder(failure), failure

    def failure(self, error: Exception) -> Failure:
        """What is to be told of an error in making it."""
        known = isinstance(error, Mistake)
        why = str(error) if known else f"{type(error).__name__}: {error}"
        trace = "" if known else "".join(traceback.format_exception(error))
        return Failure(f"{self.kind}s/{self.key}", " ".join(why.split()), trace)

    def placeholder(self, failure: Failure) -> Any:
        """A table or figure that says why there is no other."""
        if self.kind == "figure":
            return style.nothing(f"Not made: {failure.why}", style.PAGE)
        import pandas as pd

        said = {"Not made": [failure.why]}
        return replace(
            table_of(pd.DataFrame(said), said, 1), caption=Caption(f"The table {self.name} could not be made")
        )

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the entry states of itself."""
        return self._entry.facts

    @property
    def _entry(self):
        try:
            return entries(self.kind)[self.name]
        except KeyError:
            known = ", ".join(entries(self.kind))
            raise Mistake(
                f"{self.kind}s.{self.key}: no {self.kind} is named {self.name!r}; there are {known}"
            ) from None


def outputs_of(study: Study, kind: Literal["table", "figure"]) -> list[StudyOutput]:
    """What the study wants of one kind, in its order."""
    return [
        StudyOutput(
            kind,
            item["key"],
            item["name"],
            {key: item[key] for key in item if key not in ("key", *TAKEN)},
            tuple(item.get("columns", ())),
        )
        for item in study.get(f"{kind}s", ())
    ]


def reads_zoo(study: Study, kind: Literal["table", "figure"]) -> bool:
    """Whether a table or figure that the study asks for reads the counts of all networks."""
    return any(item.facts.get("reads") == "zoo" for item in outputs_of(study, kind))


def files_read(study: Study) -> list[str]:
    """Files beside the runs that the tables and figures of a study read: counts of all networks, published numbers."""
    found: list[str] = []
    for kind in ("table", "figure"):
        found += [str(FOLDER / f"{name}.csv") for name in COUNTED] if reads_zoo(study, kind) else []
        found += map(str, published_numbers.paths(study.get(f"{kind}s", ())))
    return [*dict.fromkeys(found)]


def captions(study: Study, kind: Literal["table", "figure"]) -> dict[str, Caption]:
    """Key → caption of every table or figure of a study."""
    return {item.key: item.caption(study) for item in outputs_of(study, kind)}


def draw(
    figures: Iterable[StudyOutput], folder: Path, frame: "pd.DataFrame", history: "pd.DataFrame", study: Study
) -> list[Failure]:
    """Write every figure as <key>.png and <key>.pdf into `folder`; those that failed say so, and are returned."""
    failures = []
    with style.applied():
        for item in figures:
            made, failure = item.make_or_explain(frame, history, study)
            try:
                style.save(made, folder, item.key)
            # Much of a figure is computed only when it is drawn.
            except Exception as error:
                failure = item.failure(error)
                style.save(item.placeholder(failure), folder, item.key)
            failures += [failure] if failure else []
    return failures
