"""Ids as text."""

from hypothesis import given
from hypothesis import strategies as st

from agents import ids


@given(value=st.uuids())
def test_the_text_of_an_id_is_that_of_the_standard_library(value):
    assert ids.text(value) == str(value)
