"""Finished runs in one MLflow store: a file of SQLite, filled by one writer at a time, with no server and no network.

An experiment a study, in it a run a finished run. Its artifacts are a link to the run's own folder.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from espalier.errors import Mistake
from espalier.results.mlflow.finished import Finished, finished
from espalier.results.read.planned_study import Study
from espalier.runs.spoken_name import spoken_name
from espalier.runs.trackers import mlflow_library
from espalier.site import file_lock

VERSION = "espalier.version"
"""Tag that is written last: a run of the store without it was broken off."""

_METRICS, _PARAMS = 800, 100
"""What one call of log_batch takes: 1,000 things in all, 100 params among them."""


def imported(store: Path, studies: Iterable[Study], root: Path = Path()) -> Counter[str]:
    """Bring the store up to the runs on disk; how many runs are "new", "renewed" and "there" already.

    A run that has been made anew replaces its earlier self, which MLflow keeps among its deleted runs. A run that no
    study asks for any more stays.

    Raises:
        Mistake: MLflow is not installed, or the file is no store of it, or of another folder.
    """
    store = Path(store)
    client = _client(store)
    counts: Counter[str] = Counter(new=0, renewed=0, there=0)
    with _alone(store):
        for study in studies:
            experiment = _experiment(client, study, store)
            known = _known(client, experiment.experiment_id)
            for run in finished(study, root):
                earlier = known.get(run.id, [])
                if any(one.data.tags.get(VERSION) == run.version for one in earlier):
                    counts["there"] += 1
                    continue
                for one in earlier:
                    client.delete_run(one.info.run_id)
                _write(client, experiment.experiment_id, run, _links(store, study))
                counts["renewed" if earlier else "new"] += 1
    return counts


@contextmanager
def _alone(store: Path) -> Iterator[None]:
    folder = store.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock.take(folder / ".lock", wait=True):
        yield


def _links(store: Path, study: Study) -> Path:
    return store.with_suffix("").resolve() / study["study"]


def _client(store: Path) -> Any:
    mlflow = mlflow_library()
    store.parent.mkdir(parents=True, exist_ok=True)
    try:
        client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{store.resolve()}")
        client.search_experiments(max_results=1)
    # What SQLAlchemy, Alembic and MLflow raise has no common class.
    except Exception as error:
        told = str(error).strip().partition("\n")[0]
        raise Mistake(f"{store}: is no store of this MLflow ({told}); move it away and it is made anew") from error
    return client


def _experiment(client: Any, study: Study, store: Path) -> Any:
    place = _links(store, study).as_uri()
    found = client.get_experiment_by_name(study["study"])
    if found is None:
        about = "\n\n".join(text for text in (study["title"], study["description"]) if text)
        tags = {"source": study["source"], "mlflow.note.content": about}
        found = client.get_experiment(client.create_experiment(study["study"], artifact_location=place, tags=tags))
    elif found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    if found.artifact_location != place:
        raise Mistake(
            f"{store}: links runs at {found.artifact_location}, and they are at {place}; "
            f"delete {store} and {store.with_suffix('')}/, and it is made anew"
        )
    return found


def _known(client: Any, experiment: str) -> dict[str, list[Any]]:
    """Run id → the runs of the store that stand for it."""
    found: dict[str, list[Any]] = {}
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        for run in page:
            found.setdefault(run.data.tags.get("id", ""), []).append(run)
        token = page.token
        if not token:
            return found


def _write(client: Any, experiment: str, run: Finished, links: Path) -> None:
    from mlflow.entities import Metric, Param, RunTag

    made = client.create_run(experiment, run.started_ms, tags=_fitting(run.tags, 8000), run_name=spoken_name(run.id))
    id_ = made.info.run_id
    client.set_terminated(id_, "FINISHED", run.ended_ms)
    link = links / id_ / "artifacts"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(run.folder.resolve(), link.parent), target_is_directory=True)
    metrics = [Metric(one.name, one.value, one.ms, one.step) for one in run.numbers]
    params = [Param(key, value) for key, value in _fitting(run.params, 6000).items()]
    for some, given in zip_longest(_parts(metrics, _METRICS), _parts(params, _PARAMS), fillvalue=()):
        client.log_batch(id_, metrics=some, params=given)
    client.log_batch(id_, tags=[RunTag(VERSION, run.version)])


def _fitting(texts: Mapping[str, str], letters: int) -> dict[str, str]:
    """Texts no longer than MLflow takes them."""
    return {key: text if len(text) <= letters else text[: letters - 2] + " …" for key, text in texts.items()}


def _parts(items: list[Any], size: int) -> Iterator[list[Any]]:
    source = iter(items)
    return iter(lambda: list(islice(source, size)), [])
