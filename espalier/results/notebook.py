"""What a notebook asks for: the runs of studies as one frame, and a network to use."""

from pathlib import Path
from typing import TYPE_CHECKING

from espalier.errors import Mistake
from espalier.files import replacing
from espalier.plan.best_chain import best
from espalier.plan.configured_plan import plan_studies
from espalier.plan.manifest import manifest
from espalier.runs.folders import path_or_run
from espalier.stages import STAGES

if TYPE_CHECKING:
    import pandas as pd

    from espalier.networks.classifier import Classifier


def frame(*studies: str) -> "pd.DataFrame":
    """A row a chain of each study, as its file stands now: labels, settings that vary, metrics, folders of its runs.

    The columns are those of runs.csv behind the name of the study. What is not done yet is missing.

    Args:
        studies: names of studies; by default those of config/config.yaml

    Raises:
        Mistake: a study cannot be planned, or a run of it is damaged.
    """
    import pandas as pd

    from espalier.results.read import tidy

    planned = plan_studies(studies).studies
    frames = {name: tidy.runs(manifest(study)) for name, study in planned.items()}
    found = pd.concat([one.assign(study=name) for name, one in frames.items()], ignore_index=True)
    return found[["study", *(name for name in found if name != "study")]]


def save(frame: "pd.DataFrame", output: Path) -> None:
    """Write a frame as CSV or Parquet, as the file's ending says.

    Raises:
        Mistake: it ends otherwise, or Parquet cannot be written here.
    """
    if output.suffix not in (".csv", ".parquet"):
        raise Mistake(f"{output}: name a file that ends in .csv or .parquet")
    with replacing(output) as temporary:
        try:
            if output.suffix == ".csv":
                frame.to_csv(temporary, index=False, lineterminator="\n")
            else:
                frame.to_parquet(temporary)
        except ImportError:
            raise Mistake(f"{output}: Parquet needs pyarrow: uv pip install pyarrow; or name a .csv") from None


def load(path: str | Path | None = None, *, study: str | None = None, best: bool = False) -> "Classifier":
    """Load a network to use: of a run, from a coded file (.esp), from an ONNX file of ours, or the best of a study.

    Args:
        path: the file, or the run: its folder, id, name or spoken name
        study: name of a study; its best configuration has the highest mean validation top-1, and of its seeds the one
            with the highest validation top-1 is taken
        best: must be True with `study`

    Raises:
        Mistake: there is no such network, or it is damaged.
    """
    from espalier.networks import classifier

    if (path is None) == (study is None) or (study is not None) != best:
        raise Mistake("load: give the folder of a run, or study=… with best=True")
    return classifier.load(best_of(study) if path is None else path_or_run(path))


def best_of(study: str) -> Path:
    """The folder of the network at the end of a study's best chain: of the configuration with the highest mean
    validation top-1, the best seed.

    Raises:
        Mistake: no chain of the study is done.
    """
    (planned,) = plan_studies([study]).studies.values()
    point = best(planned)
    if point is None:
        raise Mistake(f"{study}: no chain is done yet; `espalier status {study}` tells how far it is")
    return Path([run.path for run in point.runs.values() if STAGES[run.stage].changes][-1])
