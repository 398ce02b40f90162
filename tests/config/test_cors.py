"""OAI-64, OAI-66, OAI-67: what CHAT_CORS_ORIGIN may say and which settings it makes."""

import pytest

from chat.origins import is_allowed
from config import cors


def allowed(origins, origin):
    return is_allowed(origin, cors.settings_for(origins))


@pytest.mark.parametrize("origins", ["", " ", " , ,"])
def test_cors_is_off_by_default(origins):
    assert cors.settings_for(origins) == {}
    assert not allowed(origins, "https://app.example")


def test_exact_origins_allow_themselves_only():
    assert allowed("https://app.example, http://localhost:3000", "http://localhost:3000")
    for other in ("https://app.example:8443", "http://app.example", "https://app.example.evil", "null", ""):
        assert not allowed("https://app.example,http://localhost:3000", other)


def test_origins_are_written_as_browsers_write_them():
    assert cors.settings_for("HTTPS://App.Example:443")["CORS_ALLOWED_ORIGINS"] == ["https://app.example"]
    assert cors.settings_for("http://[::1]:3000")["CORS_ALLOWED_ORIGINS"] == ["http://[::1]:3000"]


def test_a_star_allows_every_origin_without_credentials():
    settings = cors.settings_for("*")
    assert settings["CORS_ALLOW_ALL_ORIGINS"] is True
    assert settings["CORS_ALLOW_CREDENTIALS"] is False


def test_a_regex_must_match_the_whole_origin():
    origins = r"~https://.*\.example"
    assert allowed(origins, "https://a.example")
    assert not allowed(origins, "https://a.example.evil")
    assert not allowed(origins, "xhttps://a.example")
    assert not allowed(r"~https://a\.example|https://b\.example", "https://b.example.evil")
    assert not allowed(origins, "https://a.example\n")


@pytest.mark.parametrize(
    "bad", ["app.example", "https://app.example/", "https://app.example/path", "https://", "https://*.example", "https://a:port", "~(", "~",
            "https://user@app.example", "https://app.example?x=1"]
)  # fmt: skip
def test_a_bad_origin_is_refused(bad):
    with pytest.raises(ValueError, match=r"."):
        cors.settings_for(f"https://good.example,{bad}")


def test_the_openai_wire_alone_allows_three_methods_and_the_headers_of_its_clients():
    settings = cors.settings_for("*", openai_only=True)
    assert settings["CORS_ALLOW_METHODS"] == ["GET", "POST", "OPTIONS"]
    assert {"authorization", "idempotency-key", "x-conversation-id", "x-stainless-retry-count"} < set(settings["CORS_ALLOW_HEADERS"])
    assert "last-event-id" not in settings["CORS_ALLOW_HEADERS"]
    assert settings["CORS_PREFLIGHT_MAX_AGE"] == 86_400


def test_the_whole_site_adds_what_the_other_wires_need():
    settings = cors.settings_for("*")
    assert settings["CORS_ALLOW_METHODS"][3:] == ["PUT", "PATCH", "DELETE"]
    assert settings["CORS_ALLOW_HEADERS"][-3:] == ["last-event-id", "payment-signature", "x-payment"]


def test_sixteen_headers_are_exposed():
    exposed = cors.settings_for("*", openai_only=True)["CORS_EXPOSE_HEADERS"]
    assert len(exposed) == 16
    assert {"x-execution-id", "x-ratelimit-remaining-tokens", "x-ratelimit-limit-requests"} < set(exposed)
    assert cors.settings_for("*")["CORS_EXPOSE_HEADERS"] == [*exposed, "link", "location"]
