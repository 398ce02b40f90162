"""Whoever saves a tool, in the admin or by an agents file: its document, given as text or by address, is stored as an object."""

import json
from typing import Any

import pytest

from agents.admin.tools import ToolForm
from agents.agentsfile import AgentsFile
from agents.apply import apply
from agents.models import Tool
from tests.support.website import DOCUMENT

pytestmark = pytest.mark.django_db
CONFIG = {"openapi": DOCUMENT, "operation": "a", "server": "https://api.test"}


def save_in_the_admin(config: dict[str, Any]) -> None:
    form = ToolForm({"name": "ask", "kind": "http", "config": json.dumps(config), "timeout_s": "30", "secrets": "", "masked_arguments": ""})
    if form.is_valid():
        form.save()


def save_by_a_file(config: dict[str, Any]) -> None:
    agent = {"name": "a", "provider": "demo", "model": "demo", "tools": [{"name": "ask", "kind": "http", **config}]}
    apply(AgentsFile.model_validate({"providers": [{"name": "demo", "kind": "demo"}], "agents": [agent]}))


@pytest.mark.parametrize("save", [save_in_the_admin, save_by_a_file])
def test_a_document_given_as_text_is_stored_as_an_object(save: Any) -> None:
    save(CONFIG)
    assert Tool.objects.get(name="ask").config == {**CONFIG, "openapi": json.loads(DOCUMENT)}


def test_a_broken_document_is_not_saved() -> None:
    save_in_the_admin({**CONFIG, "openapi": "{"})
    assert not Tool.objects.exists()
