"""R0.9: known secrets and keys of this site never get out, however the text that holds them is cut."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.scrub import MASK, Scrubber

PROVIDER_KEY = "sk-proj-0123456789abcdefghij"
LONGER_KEY = PROVIDER_KEY + "-longer"
TOOL_SECRET = 'p4ss"w/rd ü!'
SITE_KEY = "sk-" + "Ab3_-" * 8 + "xyz"
LONG_SITE_KEY = SITE_KEY + "0123456789"
OTHER_KEY = "sk-" + "z" * 43
SECRETS = (PROVIDER_KEY, LONGER_KEY, TOOL_SECRET, "aaaaaaaab", "short")


def is_site_key(key: str) -> bool:
    return key in (SITE_KEY, LONG_SITE_KEY)


SCRUBBER = Scrubber(SECRETS, is_site_key)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing to see", "nothing to see"),
        (f"key {PROVIDER_KEY}.", f"key {MASK}."),
        (f"key {LONGER_KEY}.", f"key {MASK}."),
        (f"{PROVIDER_KEY}{PROVIDER_KEY}", MASK + MASK),
        (f"say {TOOL_SECRET}", f"say {MASK}"),
        ('{"a": "p4ss\\"w/rd ü!"}', f'{{"a": "{MASK}"}}'),
        ("?k=p4ss%22w%2Frd%20%C3%BC%21&x", f"?k={MASK}&x"),
        (f"mine: {SITE_KEY}", f"mine: {MASK}"),
        (f"mine: {LONG_SITE_KEY} ok", f"mine: {MASK} ok"),
        (f"task-{SITE_KEY} ", f"task-{MASK} "),
        (f"sk-{SITE_KEY}", f"sk-{MASK}"),
        (f"{SITE_KEY}_tail", f"{MASK}_tail"),
        (f"not ours: {OTHER_KEY}", f"not ours: {OTHER_KEY}"),
        ("aaaaaaaaab", f"a{MASK}"),
        ("too short to be a secret: short", "too short to be a secret: short"),
    ],
)
def test_a_secret_is_masked_and_nothing_else(text: str, expected: str) -> None:
    assert SCRUBBER.text(text) == expected


def test_a_clean_text_is_the_same_object() -> None:
    text = "a desk-bound risk-averse clerk"
    assert SCRUBBER.text(text) is text


def test_a_clean_delta_goes_through_at_once_as_the_same_object() -> None:
    text = " hello there"
    assert SCRUBBER.stream().feed(text) is text


def test_values_are_scrubbed_at_every_depth_and_in_names() -> None:
    value = {"a": [PROVIDER_KEY, {"b": (f"x{SITE_KEY}",)}], PROVIDER_KEY: 1, "n": None, "t": True, "f": 1.5}
    assert SCRUBBER.value(value) == {"a": [MASK, {"b": [f"x{MASK}"]}], MASK: 1, "n": None, "t": True, "f": 1.5}


def test_without_secrets_only_keys_of_this_site_are_masked() -> None:
    scrubber = Scrubber((), is_site_key)
    assert scrubber.text(f"{SITE_KEY} and {PROVIDER_KEY}") == f"{MASK} and {PROVIDER_KEY}"


def test_the_stream_holds_back_only_what_may_become_a_secret() -> None:
    stream = SCRUBBER.stream()
    assert stream.feed("the key is sk-pro") == "the key is "
    assert stream.feed("fessional, see?") == "sk-professional, see?"
    assert stream.end() == ""


def test_a_secret_cut_into_single_characters_never_gets_out() -> None:
    stream = SCRUBBER.stream()
    sent = [stream.feed(character) for character in f"<{LONGER_KEY}>"]
    assert "".join(sent) + stream.end() == f"<{MASK}>"
    assert all(not re.search("[a-z0-9]{2}", piece.replace(MASK, "")) for piece in sent)


def test_what_is_held_back_is_given_at_the_end() -> None:
    stream = SCRUBBER.stream()
    assert stream.feed("ask for sk-proj-0123") == "ask for "
    assert stream.end() == "sk-proj-0123"
    assert stream.end() == ""


def test_a_long_word_that_looks_like_a_key_is_not_held_for_ever() -> None:
    stream = SCRUBBER.stream()
    sent = "".join(stream.feed("sk-" + "q" * 500) for _ in range(3))
    assert len(sent) > 3 * 503 - 140


PIECES = st.sampled_from(
    [*SECRETS, SITE_KEY, LONG_SITE_KEY, OTHER_KEY, "sk-", "sk-proj-", "s", "k", "-", "a", "aa", " ", "p4ss", "x", "ü", "%22", '"', "\n"]
)
FRAGMENTS = st.tuples(PIECES, st.integers(0, 60), st.integers(0, 60)).map(lambda cut: cut[0][cut[1] % 9 : len(cut[0]) - cut[2] % 9])
TEXTS = st.lists(PIECES | FRAGMENTS | st.text(max_size=3), max_size=12).map("".join)


@given(TEXTS, st.lists(st.integers(0, 600), max_size=12))
def test_any_split_of_a_text_is_scrubbed_like_the_whole(text: str, cuts: list[int]) -> None:
    places = sorted({cut % (len(text) + 1) for cut in cuts})
    pieces = [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
    stream = SCRUBBER.stream()
    sent = "".join(stream.feed(piece) for piece in pieces) + stream.end()
    assert sent == SCRUBBER.text(text)


@given(TEXTS)
def test_no_known_secret_is_left_in_any_text(text: str) -> None:
    scrubbed = SCRUBBER.text(text)
    assert not any(secret in scrubbed for secret in (*SECRETS[:-1], SITE_KEY))
    assert (scrubbed == text) == (MASK not in scrubbed)
