"""Answer the open question of a study's plan: answer.py STUDY STEP OUTPUT --config FILE"""

import argparse
import json
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("step", help="the question, with its digest")
    parser.add_argument("output", type=Path)
    parser.add_argument("--question", action="store_true", help="write what is asked, for those that answer it")
    parser.add_argument("--config", type=Path, required=True, help="Snakemake's configuration, as JSON")
    args = parser.parse_args()

    from espalier.errors import Mistake
    from espalier.plan.configured_plan import plan_config

    try:
        (study,) = plan_config(json.loads(args.config.read_text()) | {"studies": args.study}).studies.values()
        step = study.pending
        if step is None or step.key != args.step:
            raise Mistake(f"{args.study} asks no {args.step} now; call snakemake again")
        if args.question:
            step.write_question(args.output)
        else:
            step.write(args.output)
    except Mistake as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
