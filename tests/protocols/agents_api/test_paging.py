"""Links to the next page (AG-5, R0.10)."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.http import QueryDict
from pytest_django.fixtures import Settings

from chat.protocols.agents_api.paging import next_link


@pytest.mark.parametrize("site", ["", "https://agents.example.com"])
def test_a_link_keeps_the_question_and_moves_on(settings: Settings, site: str) -> None:
    settings.PUBLIC_BASE_URL = site
    call: Any = SimpleNamespace(query=QueryDict("q=a%26b&before=old&limit=2"), request=SimpleNamespace(path="/api/agents/a/chat/sessions"))
    assert next_link(call, "new") == {"Link": f'<{site}/api/agents/a/chat/sessions?q=a%26b&limit=2&before=new>; rel="next"'}
    assert next_link(call, None) == {}
