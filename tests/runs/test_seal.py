import hashlib
import json

import pytest

from espalier.errors import Mistake
from espalier.runs import seal

CONTENT = {"b": [1, 2.5, None], "a": {"deep": "ä"}}
WORDS = {"missing": "make it", "damaged": "Make it again"}


def test_a_sealed_file_is_json_with_its_digest_last(tmp_path):
    text = seal.sealed(CONTENT)
    head = json.dumps(CONTENT, indent=2)[:-2]
    digest = hashlib.sha256(head.encode()).hexdigest()
    assert text == f'{head},\n  "sha256": "{digest}"\n}}\n'
    (tmp_path / "a.json").write_text(text)
    assert seal.read(tmp_path / "a.json", **WORDS) == CONTENT


def test_content_may_hold_what_looks_like_a_seal(tmp_path):
    content = {"text": seal.sealed(CONTENT), "sha": ',\n  "sha256": "'}
    (tmp_path / "a.json").write_text(seal.sealed(content))
    assert seal.read(tmp_path / "a.json", **WORDS) == content


def test_no_file_is_told_with_what_to_do(tmp_path):
    with pytest.raises(Mistake) as error:
        seal.read(tmp_path / "a.json", **WORDS)
    assert str(error.value) == f"{tmp_path / 'a.json'}: there is no such file; make it"


@pytest.mark.parametrize("data", [b"\xff", b"{", b""])
def test_what_is_no_json_is_told(data, tmp_path):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(Mistake, match=r"a\.json: it cannot be read \(.+\)\. Make it again$"):
        seal.read(tmp_path / "a.json", **WORDS)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("2.5", "2.6"),
        lambda text: text.replace('"sha256"', '"sha"'),
        lambda text: text + "\n",
        lambda text: json.dumps(json.loads(text)),
        lambda text: "[1]",
        lambda text: "{}",
    ],
)
def test_other_content_than_was_sealed_is_told(change, tmp_path):
    (tmp_path / "a.json").write_text(change(seal.sealed(CONTENT)))
    with pytest.raises(Mistake) as error:
        seal.read(tmp_path / "a.json", **WORDS)
    expected = "it is damaged: its content is not what its SHA-256 says. Make it again"
    assert str(error.value) == f"{tmp_path / 'a.json'}: {expected}"
