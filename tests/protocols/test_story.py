"""The story covers the vocabulary: an event that is added to chat.events must be told here first."""

from typing import get_args

from chat.events import Gap, TurnEvent
from tests.protocols.story import STORIES


def test_the_story_holds_every_event() -> None:
    told = {type(item.event) for story in STORIES.values() for item in story}
    assert told == {*get_args(TurnEvent), Gap}
