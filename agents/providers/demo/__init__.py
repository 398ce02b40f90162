"""The demo provider: no key, no network, no model. It says so, echoes what it was told, and plays scripts.

A script stands in the user's last message (`/demo …` lines) or in ProviderSpec.options["script"]; see docs/adding-a-provider.md.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

from agents.providers.base import Delta, ModelRequest, ProviderError
from agents.providers.demo.acts import Pause, Stage, play, set_up
from agents.providers.demo.talk import acts_for
from agents.specs import ProviderSpec

DEFAULT_DELAY_MS = 15
MODELS: Mapping[str, int | None] = {"demo": None, "demo-fast": 0, "demo-slow": 250}
"""Model -> milliseconds between words; None: `delay_ms` of the provider's options. Other names are served as "demo"."""


def build(spec: ProviderSpec) -> "Demo":
    return Demo(spec)


class Demo:
    """`options`: `script` (see demo.script) and `delay_ms`."""

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[Delta]]:
        stage = Stage(request, self._delay_s(request.model.name))
        earlier, acts = acts_for(request, self._spec.options)
        set_up(stage, earlier)
        patience_s = self._spec.first_token_timeout_s
        for moment in play(stage, acts):
            if isinstance(moment, Pause):
                await _pause(moment.seconds, patience_s)
            else:
                yield [moment]
                patience_s = self._spec.idle_timeout_s
        yield list(stage.end(request.model.name))

    async def models(self) -> list[str]:
        return sorted(MODELS)

    def _delay_s(self, model: str) -> float:
        own = MODELS.get(model)
        return float(self._spec.options.get("delay_ms", DEFAULT_DELAY_MS) if own is None else own) / 1000


async def _pause(seconds: float, patience_s: float) -> None:
    """Waits, but not longer than this provider is waited for."""
    await asyncio.sleep(min(seconds, patience_s))
    if seconds > patience_s:
        raise ProviderError("timeout", "the demo was told to be silent")
