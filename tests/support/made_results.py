"""A table or figure of a study, made as a page makes it."""

from espalier.results.format import style
from espalier.results.read import tidy
from espalier.results.study_outputs import StudyOutput


def made(kind, name, study, **settings):
    """The table or figure, whose caption is told from the plan alone."""
    frame = tidy.runs(study)
    arguments = (frame, study) if kind == "table" else (frame, tidy.history(study), study)
    item = StudyOutput(kind, name, name, settings)
    assert item.caption(study)
    with style.applied():
        return item.make(*arguments)
