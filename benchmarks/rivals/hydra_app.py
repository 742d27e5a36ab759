"""The same run as an application of Hydra, whose joblib launcher runs the whole grid.

python hydra_app.py --multirun +model=small,wide … hydra/launcher=joblib
"""

from pathlib import Path

import hydra
from omegaconf import OmegaConf
from train import run


@hydra.main(version_base=None, config_path=None, config_name=None)
def main(config) -> None:
    settings = OmegaConf.to_container(config)
    setting = {key: settings.pop(key) for key in ("model", "augment", "optimizer", "lr", "scheduler")}
    name = "-".join(str(value) for value in setting.values())
    run(Path(settings["folder"], name), Path(settings["data"]), settings["epochs"], **setting)


if __name__ == "__main__":
    main()
