"""How failures inside a run become the turn's own error: providers are classified, their text is never passed on (R3.3)."""

from agents.errors import SwitchboardError
from agents.providers.base import ErrorKind, ProviderError


class TurnError(SwitchboardError):
    """A turn that may not start, or cannot go on."""


_PROVIDER_ERRORS: dict[ErrorKind, tuple[str, str]] = {
    "auth": ("provider_error", "The model provider returned an error."),
    "rate_limit": ("provider_unavailable", "The model provider is limiting requests. Try again later."),
    "context_length": ("provider_error", "The conversation is too long for this model."),
    "content_filter": ("provider_error", "The model provider refused the content."),
    "overloaded": ("provider_unavailable", "The model provider is not available."),
    "network": ("provider_unavailable", "The model provider is not available."),
    "timeout": ("provider_unavailable", "The model provider did not answer in time."),
    "bad_request": ("provider_error", "The model provider returned an error."),
    "invalid": ("provider_error", "The model provider returned an error."),
    "circuit_open": ("circuit_open", ""),
}


_MAY_PASS = ("provider_unavailable", "circuit_open")


def turn_error(error: ProviderError) -> TurnError:
    """The fixed sentence and code for a classified provider failure; `detail` keeps the provider's text for managers."""
    code, message = _PROVIDER_ERRORS[error.kind]
    retry_after_s = max(1, round(error.retry_after_s or 1)) if code in _MAY_PASS else None
    return TurnError(code, message, retry_after_s=retry_after_s, detail=f"{error.kind}: {error.detail}"[:2000])


class CatalogChanged(Exception):
    """Agents, keys or users changed since this process last looked: authentication and look-up are to be repeated."""


class SessionChanged(Exception):
    """The conversation was deleted, or made by another process, between the look-up and the beginning."""
