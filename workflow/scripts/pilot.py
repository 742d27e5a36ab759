"""What profiles/pilot/pilot.sbatch asks: pilot.py slots [PROFILE], the number of runs at once; pilot.py stop.

`slots` multiplies the profile's gpu_slot by the GPUs of this machine. `stop` lets the pilot's runs save their state
and end with 75, and no other begin.
"""

import argparse
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from espalier.errors import Mistake
from espalier.site.pilot import slots
from espalier.site.pilot.board import shared_folder
from espalier.site.pilot.gpus import gpus

PROFILE = Path("profiles/pilot/config.yaml")


def each(profile: Path) -> int:
    """Runs on each GPU, as a profile says it."""
    from ruamel.yaml import YAML

    with profile.open() as file:
        said = (YAML(typ="safe", pure=True).load(file).get("resources") or {}).get("gpu_slot")
    if not isinstance(said, int) or said < 1:
        raise Mistake(f"{profile}: resources.gpu_slot is {said!r}; state how many runs share a GPU, 1 or more")
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("slots", "stop"))
    parser.add_argument("profile", type=Path, nargs="?", default=PROFILE, help="the profile's config.yaml")
    args = parser.parse_args()
    try:
        if args.what == "slots":
            print(each(args.profile) * max(1, len(gpus())))
            return
        for process in slots.close(shared_folder()):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
    except (Mistake, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
