"""Draw augmented images of a study's policies as training will see them: draw_previews.py FOLDER --plan plan.json"""

import argparse
import shutil
from functools import cache
from pathlib import Path

SAMPLES, EPOCHS = 8, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="pictures go to its preview/ and preview/alone/")
    parser.add_argument("--plan", type=Path, required=True, help="the study's plan.json")
    args = parser.parse_args()

    from espalier.errors import Mistake
    from espalier.results.format import style
    from espalier.results.page import preview_page
    from espalier.results.read.planned_study import read
    from espalier.settings.problems import StudyError

    made, new = args.folder / "preview", args.folder / ".preview"
    shutil.rmtree(new, ignore_errors=True)
    try:
        policies = preview_page.policies(read(args.plan))

        from espalier.data.augmented_samples import alone, samples
        from espalier.data.policy import Policy
        from espalier.data.prepared import Prepared

        prepared = cache(Prepared.read)
        with style.applied():
            for one in policies:
                spec = one.spec
                data = prepared(one.data)
                shown = samples(data, Policy(spec.augment), seed=spec.seed, count=SAMPLES, epochs=EPOCHS)
                style.save(preview_page.draw(one, shown), new, one.key, ("png",))
                if spec.augment:
                    each = alone(data, spec.augment, seed=spec.seed, count=SAMPLES)
                    style.save(preview_page.draw_alone(one, shown, each), new / "alone", one.key, ("png",))
    except (Mistake, StudyError) as error:
        raise SystemExit(f"error: {error}") from None
    # Whole or absent, since nothing else tells that a folder is.
    shutil.rmtree(made, ignore_errors=True)
    new.rename(made)


if __name__ == "__main__":
    main()
