"""What stands beside tables and figures: short, with the rest behind it."""

import json
from pathlib import Path

import pytest

from espalier.plan.configured_plan import plan_studies
from espalier.plan.manifest import manifest
from espalier.results.format.captions import Caption
from espalier.results.format.notices import notices
from espalier.results.study_outputs import captions

ROOT = Path(__file__).parents[2]


MOST = 40
STUDIES = sorted(path.stem for path in (ROOT / "config/studies").glob("*.yaml"))


@pytest.fixture(scope="module")
def planned():
    return {name: json.loads(json.dumps(manifest(study))) for name, study in plan_studies(STUDIES).studies.items()}


@pytest.mark.parametrize("kind", ["table", "figure"])
def test_no_caption_is_longer_than_forty_words(planned, kind):
    seen = 0
    for name, study in planned.items():
        said = " ".join(text.partition(". ")[0] for text in notices(study)).split()
        for key, caption in captions(study, kind).items():
            words = len(caption.short().split()) - len(said)
            assert words <= MOST, f"{name}: {key}: {words} words: {caption.short()}"
            assert caption.title and not caption.title.endswith("."), (name, key)
            assert caption.text == "" or caption.text.endswith("."), (name, key)
            assert kind == "table" or (caption.alt and caption.alt != caption.title), (name, key)
            seen += 1
    assert seen > 20


def test_a_caption_puts_its_parts_together():
    caption = Caption("What is shown", "What to know.", "How it came about.")
    assert caption.short() == "What is shown. What to know."
    assert caption.with_text("More.").with_notes("Still more.").whole() == (
        "What is shown. What to know. More. How it came about. Still more."
    )
    assert Caption("What is shown").whole() == "What is shown."
