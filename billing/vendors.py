"""VENDORS: who really serves an OpenAI-compatible address, because one model costs differently from house to house.

Names and patterns are those of the price list (genai-prices); a test compares them.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from agents.specs import ProviderSpec

VENDORS: Mapping[str, str] = {
    "openai": r"https://api\.openai\.com",
    "anthropic": r"https://api\.anthropic\.com",
    "google": r"https://(.*\.)?googleapis\.com",
    "openrouter": r"https://(api\.)?openrouter\.ai",
    "groq": r"https://api\.groq\.com",
    "mistral": r"https://api\.mistral\.ai",
    "deepseek": r"https://api\.deepseek\.com",
    "together": r"https://api\.together\.xyz",
    "fireworks": r"https://api\.fireworks\.ai",
    "cerebras": r"https://api\.cerebras\.ai",
    "cohere": r"https://api\.cohere\.(?:ai|com)",
    "perplexity": r"https://api\.perplexity\.ai",
    "x-ai": r"https://api\.x\.ai",
    "moonshotai": r"https://api\.moonshot\.",
    "novita": r"https://api\.novita\.ai",
    "zai": r"https://api\.z\.ai",
    "azure": r"(https?://)?([^.]*\.)?(?:openai\.azure\.com|azure-api\.net|cognitiveservices\.azure\.com|services\.ai\.azure\.com)",
}
_OWN_VENDOR: Mapping[str, str] = {"openai_compatible": "openai", "anthropic": "anthropic", "google": "google"}
"""The vendor of a kind when the provider has no address of its own."""


def price_keys(provider: ProviderSpec) -> tuple[str, ...]:
    """What Price.provider may say for this provider, the most specific first.

    A house the list does not know (a gateway, say) is taken to resell: its kind's own vendor prices the models named so.
    """
    vendor = _vendor(provider)
    return (provider.name, vendor or _OWN_VENDOR.get(provider.kind, provider.kind), provider.kind, "*")


def _vendor(provider: ProviderSpec) -> str:
    return _vendor_at(provider.base_url) if provider.base_url else _OWN_VENDOR.get(provider.kind, "")


@lru_cache(maxsize=1000)
def _vendor_at(base_url: str) -> str:
    return next((name for name, pattern in VENDORS.items() if re.match(pattern, base_url)), "")
