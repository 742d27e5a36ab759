import pytest

from espalier.seeding import key


def test_a_key_is_the_same_on_every_machine():
    assert key("order", 0, 1) == 1747576171170989049
    assert key() == 4090036724241674979
    assert key(1, "é", 2**80) == 372974447383225591


def test_keys_tell_words_apart_by_type_place_and_boundary():
    words = [(), (1,), ("1",), (1, 2), (12,), ("1", 2), (2, 1), ("a", "b"), ("ab",), ("a,b",), (-1,), (2**80,)]
    assert len({key(*each) for each in words}) == len(words)


def test_keys_fit_a_signed_word_and_fill_it():
    keys = [key("fill", number) for number in range(256)]
    assert all(0 <= each < 2**63 for each in keys)
    assert max(keys) > 2**62
    assert len({each % 2 for each in keys}) == 2


@pytest.mark.parametrize("word", [1.0, None, True, b"a", (1,)])
def test_a_word_that_has_no_one_spelling_is_refused(word):
    with pytest.raises(TypeError, match="integers and text"):
        key("seed", word)
