"""For our own page (`?render=html`): beside the frames of a run, what changed of its texts as sanitised HTML (chat.rendering).

`{"type": "rendered", "block", "from", "html": […]}` takes the place of the pieces of that text from number `from` on. It has no
number of its own: the chunks beside it have.
"""

from collections.abc import Sequence
from typing import Any

from chat.events import Batch, Gap, Numbered, ReasoningDelta, RefusalDelta, TextDelta
from chat.protocols.websocket.codec import Teller
from chat.protocols.websocket.frames import Frame
from chat.rendering import Painting

LEAST_REST_S = 0.025
"""A run of thousands of pieces that is told at once, to a page that was reloaded, is rendered a few times only."""


class PaintedTeller(Teller):
    """A Teller whose texts can be shown as they are written."""

    def __init__(self, *, thread_id: str | None, execution_id: str, reasoning: bool = False, replay: bool = False) -> None:
        super().__init__(thread_id=thread_id, execution_id=execution_id, reasoning=reasoning, replay=replay)
        self._painting = Painting(LEAST_REST_S)

    def tell(self, batch: Batch) -> list[Frame]:
        told = [frame for item in batch for frame in self._with_html(item)]
        return told + self._rendered(self._painting.changed())

    def _with_html(self, item: Numbered) -> list[Frame]:
        """The item's own frames, after the HTML of a text that it ends."""
        match item.event:
            case TextDelta(block, text) | RefusalDelta(block, text):
                ended = self._painting.add(block, text) if text else []
            case Gap(restart=True):
                self._painting.clear()
                ended = []
            case ReasoningDelta():
                ended = []
            case _:
                ended = self._painting.rest()
        return [*self._rendered(ended), *self._told(item)]

    def _rendered(self, changes: Sequence[dict[str, Any]]) -> list[Frame]:
        return [Frame({"type": "rendered", **change, **self._ids, "seq": None}) for change in changes]
