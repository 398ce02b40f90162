"""PROVIDERS: kind -> the module that serves it. A module has `build(spec) -> Provider` and is imported on first use."""

from collections.abc import Mapping
from importlib import import_module

from agents.providers.base import Provider
from agents.specs import ProviderSpec

PROVIDERS: Mapping[str, str] = {
    "openai_compatible": "agents.providers.openai_compatible",
    "anthropic": "agents.providers.anthropic",
    "google": "agents.providers.google",
    "demo": "agents.providers.demo",
}


def build(spec: ProviderSpec) -> Provider:
    """The provider of `spec`; cheap, holds no connection of its own (the process shares one HTTP session)."""
    provider: Provider = import_module(PROVIDERS[spec.kind]).build(spec)
    return provider
