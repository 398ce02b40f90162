"""Workflows in the admin: drawn, checked while they are written, saved as versions, and only for managers."""

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents.models import Agent
from chat.models import Workflow, WorkflowVersion
from chat.workflows.definition import parse, read
from chat.workflows.examples import EXAMPLES, example
from chat.workflows.graph import build
from chat.workflows.picture import picture

pytestmark = pytest.mark.django_db
GOOD = "steps: [{id: a, kind: agent, agent: helper, message: Hello}, {id: b, kind: output, value: '{{ steps.a.output }}'}]"


@pytest.fixture
def host(agent: Agent) -> Agent:
    """The owner's agent, which is published."""
    return agent


def post(client: Client, host: Agent, text: str, **fields: Any) -> Any:
    values = {"agent": host.pk, "name": "flow", "display_name": "", "description": "", "enabled": "on", "definition": text}
    return client.post(reverse("admin:chat_workflow_add"), {**values, **fields})


def test_a_saved_definition_is_a_version(owners: Client, owner: User, host: Agent) -> None:
    assert post(owners, host, GOOD).status_code == 302
    workflow = Workflow.objects.get()
    assert (workflow.version, workflow.editor) == (1, owner)
    page = reverse("admin:chat_workflow_change", args=[workflow.pk])
    values = {"name": "flow", "display_name": "Flow", "description": "", "enabled": "on"}
    owners.post(page, {**values, "definition": GOOD})
    assert Workflow.objects.get().version == 1, "what was said in other words is the same"
    owners.post(page, {**values, "definition": GOOD.replace("Hello", "Hi")})
    assert [row.number for row in WorkflowVersion.objects.all()] == [2, 1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("steps: [", "not YAML"),
        ("steps: [{id: a, kind: agent, agent: gone, message: x}]", "step a: agent: there is no published agent"),
        ("steps: [{id: a, kind: output, value: '{{ steps.b.output }}'}]", "step a: value: there is no step"),
    ],
)
def test_what_cannot_run_is_not_saved(owners: Client, host: Agent, text: str, sentence: str) -> None:
    answer = post(owners, host, text)
    assert (answer.status_code, Workflow.objects.count()) == (200, 0)
    assert sentence in answer.content.decode()
    told = owners.post(reverse("admin:chat_workflow_check"), {"agent": host.pk, "definition": text}).json()
    assert sentence in told["problems"][0]


def test_the_check_draws_what_is_right(owners: Client, host: Agent) -> None:
    told = owners.post(reverse("admin:chat_workflow_check"), {"agent": host.pk, "definition": GOOD}).json()
    assert told["problems"] == []
    assert told["picture"].startswith("<svg")


def test_others_agents_can_be_neither_hosts_nor_asked(strangers: Client, host: Agent) -> None:
    assert post(strangers, host, GOOD).status_code != 302
    told = strangers.post(reverse("admin:chat_workflow_check"), {"agent": host.pk, "definition": GOOD}).json()
    assert told["problems"] == ["Choose one of your agents."]
    assert Workflow.objects.count() == 0


def test_pages_show_the_picture_and_a_form_to_run_it(owners: Client, strangers: Client, host: Agent) -> None:
    post(owners, host, GOOD)
    page = reverse("admin:chat_workflow_change", args=[Workflow.objects.get().pk])
    text = owners.get(page).content.decode()
    assert '<svg class="sb-flow"' in text
    assert "Run now" in text
    assert owners.get(reverse("admin:chat_workflow_changelist")).status_code == 200
    assert strangers.get(page).status_code != 200


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_ready_to_run(owners: Client, host: Agent, name: str) -> None:
    told = owners.post(reverse("admin:chat_workflow_check"), {"agent": host.pk, "definition": example(name, "helper")}).json()
    assert told["problems"] == []
    assert owners.get(reverse("admin:chat_workflow_add"), {"example": name}).status_code == 200


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_two_steps_of_a_picture_overlap(name: str) -> None:
    graph = build(parse(read(example(name, "x"))))
    root = ElementTree.fromstring(picture(graph, 'A "title" <b>'))
    groups = [each for each in root.iter() if each.get("class", "").startswith("sb-flow-step")]
    boxes = [[float(each[1].get(side, "")) for side in ("x", "y", "width", "height")] for each in groups]
    assert len(boxes) == sum(1 for step in graph.steps.values() if not step.blocks)
    for number, (x, y, width, height) in enumerate(boxes):
        for left, top, other_width, other_height in boxes[number + 1 :]:
            assert x + width <= left or left + other_width <= x or y + height <= top or top + other_height <= y


def test_a_line_leaves_its_layer_before_it_bends() -> None:
    """Else it runs behind a higher neighbour."""
    leaf = {"kind": "output", "value": 1}
    low, high = ({"id": f"g{size}", "kind": "parallel", "steps": [{"id": f"s{size}{n}", **leaf} for n in range(size)]} for size in (1, 2))
    high["steps"][1]["after"] = ["s20"]
    graph = build(parse({"steps": [low, high, {"id": "end", **leaf, "after": ["g1", "g2"]}]}))
    root = ElementTree.fromstring(picture(graph))
    bottom = max(float(each[1].get("y", "")) + float(each[1].get("height", "")) for each in root.iter() if "group" in each.get("class", ""))
    lines = [each.get("d", "") for each in root.iter() if each.get("class") == "sb-flow-line"]
    assert sum(f" {bottom:.1f} C" in line or line.startswith(f"M{line[1:].split()[0]} {bottom:.1f}") for line in lines) == 2


def test_texts_of_a_picture_are_escaped() -> None:
    graph = build(parse({"steps": [{"id": "a", "kind": "output", "label": "<script>alert(1)</script>"}]}))
    assert "<script" not in picture(graph, "</svg><script>")
