"""`agents apply`: a file makes providers, tools and agents, twice changes nothing, and a bad file changes nothing at all."""

import json
import textwrap

import pytest
from django.contrib.auth.models import Group, User

from agents import answerschema, versions
from agents.agentsfile import AgentEntry, ApplyError, ProviderEntry, ToolEntry, parse
from agents.apply import apply
from agents.models import Agent, Provider, Tool
from tests.support.schemas import doubling

pytestmark = pytest.mark.django_db

LEAST = """
providers:
  - {name: local, kind: openai_compatible, base_url: "http://127.0.0.1:1234/v1", api_key: "${LOCAL_KEY}"}
agents:
  - name: root
    provider: local
    model: some-model
    instructions: You are helpful.
    tools: [{kind: clock}]
"""


def run(text, **environ):
    return [str(change) for change in apply(parse(textwrap.dedent(text), {"LOCAL_KEY": "sk-local", **environ}))]


def problems(text, **environ):
    with pytest.raises(ApplyError) as refused:
        run(text, **environ)
    return list(refused.value.problems)


def agent(*lines):
    return "\n".join(["providers: [{name: demo, kind: demo}]", "agents:", "- {name: root, provider: demo, model: demo}", *lines])


def test_the_least_file_makes_a_published_agent_for_every_signed_in_user():
    assert run(LEAST) == ["provider local: created", "tool clock: created", "agent root: created, published version 1"]
    spec = versions.load_specs()["root"]
    assert (spec.model.provider.api_key, spec.model.name, spec.instructions) == ("sk-local", "some-model", "You are helpful.")
    assert [tool.name for tool in spec.tools] == ["clock"]
    assert (spec.access, spec.owner_id) == ("signed_in", None)


def test_applying_twice_changes_nothing():
    run(LEAST)
    before = list(Agent.objects.values()), list(Provider.objects.values("name", "updated_at")), list(Tool.objects.values())
    assert run(LEAST) == ["provider local: unchanged", "tool clock: unchanged", "agent root: unchanged"]
    assert (list(Agent.objects.values()), list(Provider.objects.values("name", "updated_at")), list(Tool.objects.values())) == before


def test_a_changed_line_publishes_one_more_version():
    run(LEAST)
    assert run(LEAST.replace("You are helpful.", "Be brief."))[-1] == "agent root: changed, published version 2"
    assert versions.load_specs()["root"].instructions == "Be brief."


def test_what_the_file_does_not_name_stays():
    run(LEAST)
    Agent.objects.filter(name="root").update(display_name="Root", temperature=0.5)
    Provider.objects.filter(name="local").update(max_retries=5)
    run(LEAST.replace("    tools: [{kind: clock}]", ""))
    assert [tool.name for tool in versions.load_specs()["root"].tools] == ["clock"]
    assert versions.load_specs()["root"].display_name == "Root"
    assert Provider.objects.get().max_retries == 5


def test_a_missing_variable_is_named_and_nothing_is_changed():
    assert problems(LEAST, LOCAL_KEY="") == ["providers[0].api_key: the environment variable LOCAL_KEY is not set"]
    assert not Provider.objects.exists()


def test_a_mistake_in_the_last_entry_changes_nothing():
    assert problems(agent("- {name: second, provider: nowhere, model: demo}")) == ["agents[1].provider: there is no provider 'nowhere'"]
    assert not Agent.objects.exists()
    assert not Provider.objects.exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("providers: [{name: x, kind: demo, keys: 1}]", "providers[0].keys: unknown key"),
        ("agent: []", "agent: unknown key"),
        ("agents: [{name: x, temprature: 1}]", "agents[0].temprature: unknown key"),
        ("agents: [{provider: x}]", "agents[0].name: is required"),
        ("agents: [{name: x, max_steps: many}]", "agents[0].max_steps: Input should be a valid integer"),
        ("agents: [{name: x, fallbacks: [{model: m}]}]", "agents[0].fallbacks[0].provider: is required"),
        ("agents: [{name: x}]", "agents[0].provider: is required"),
        ("providers: [{name: a b, kind: demo}]", "providers[0].name: 1 to 64 letters"),
        ("providers: [{name: x, kind: other}]", "providers[0].kind: Value 'other' is not a valid choice."),
        ("providers: [{name: x, kind: demo}, {name: x, kind: demo}]", "providers[1].name: 'x' is used twice"),
        ("tools: [{kind: teleport}]", "tools[0].kind: 'teleport' is none of"),
        ("tools: [{name: clock}]", "tools[0].kind: is required"),
        ("agents: [{name: x, tools: [{}]}]", "agents[0].tools[0]: a tool needs a kind, or the name of a tool that exists"),
        ("agents: [{name: x, tools: [{name: y, timeout_s: 3}]}]", "agents[0].tools[0]: settings of a tool need its kind"),
        ("just text", "must have the keys providers, tools or agents"),
        ("agents: [", "not YAML"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_its_path(text, problem):
    assert any(line.startswith(problem) for line in problems(text))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("temperature: 3.5", "agents[0].temperature: Ensure this value is less than or equal to 2."),
        ("output_schema: {type: anything}", f"agents[0].output_schema: {answerschema.problem({'type': 'anything'})}"),
        (f"output_schema: {json.dumps(doubling(25))}", f"agents[0].output_schema: {answerschema.problem(doubling(25))}"),
        ("output_mode: json_schema", "agents[0]: Answers are to match a schema, and there is none."),
        ("owner: nobody", "agents[0].owner: there is no user 'nobody'"),
        ("managers: [nobody]", "agents[0].managers[0]: there is no user 'nobody'"),
        ("shared_groups: [nobody]", "agents[0].shared_groups[0]: there is no group 'nobody'"),
        ("tools: [{name: hammer}]", "agents[0].tools[0]: there is no tool 'hammer'"),
        ("tools: [{kind: clock}, {kind: clock}]", "agents[0].tools[1].name: 'clock' is used twice"),
        ("fallbacks: [{provider: other, model: m}]", "agents[0].fallbacks[0].provider: there is no provider 'other'"),
    ],
)
def test_what_does_not_exist_is_named_by_its_path(line, problem):
    text = f"providers: [{{name: demo, kind: demo}}]\nagents:\n- name: root\n  provider: demo\n  model: demo\n  {line}\n"
    assert problems(text) == [problem]
    assert not Provider.objects.exists()


def test_every_setting_of_an_agent_and_a_provider_can_be_in_the_file():
    own = {field.name for field in (*Agent._meta.fields, *Agent._meta.many_to_many)} - {"id", "published", "created_at", "updated_at"}
    assert set(AgentEntry.model_fields) == own | {"tools"}
    unseen = {"id", "last_checked_at", "last_check_ok", "last_check_text", "served_models", "created_at", "updated_at"}
    assert set(ProviderEntry.model_fields) == {field.name for field in Provider._meta.fields} - unseen
    assert set(ToolEntry.model_fields) - {"requires_approval", "approver"} == {field.name for field in Tool._meta.fields} - {
        "id", "owner", "created_at", "updated_at"
    }  # fmt: skip


def test_defaults_of_the_file_are_those_of_the_models():
    for entry, model in ((AgentEntry, Agent), (ProviderEntry, Provider)):
        for name, field in entry.model_fields.items():
            column = next((one for one in model._meta.fields if one.name == name), None)
            if column and name not in ("name", "provider", "access", "headers", "owner"):
                assert field.get_default() == column.get_default(), name


def test_an_owner_gets_a_private_agent_and_people_are_named_by_user_name():
    owner, guest = User.objects.create_user("owner"), User.objects.create_user("guest")
    group = Group.objects.create(name="team")
    run(agent("- {name: own, provider: demo, model: demo, owner: owner, managers: [guest], shared_users: [guest], shared_groups: [team]}"))
    spec = versions.load_specs()["own"]
    assert (spec.owner_id, spec.access, spec.manager_ids) == (owner.pk, "private", {guest.pk})
    assert (spec.shared_user_ids, spec.shared_group_ids) == ({guest.pk}, {group.pk})
    run(agent("- {name: own, owner: null, managers: []}"))
    assert (Agent.objects.get(name="own").owner, Agent.objects.get(name="own").managers.count()) == (None, 0)


def test_tools_have_settings_secrets_and_approval():
    text = agent(
        "- name: helper\n  provider: demo\n  model: demo\n  tools:\n"
        "  - {kind: clock, name: now, description: Tells the time, timeout_s: 5, requires_approval: true, approver: manager,\n"
        "     secrets: {token: '${TOKEN}'}, masked_arguments: [zone]}"
    )
    assert "tool now: created" in run(text, TOKEN="hidden-token")
    (tool,) = versions.load_specs()["helper"].tools
    assert (tool.name, tool.description, tool.timeout_s, tool.requires_approval, tool.approver) == (
        "now",
        "Tells the time",
        5,
        True,
        "manager",
    )
    assert (tool.secrets, tool.masked) == ({"token": "hidden-token"}, {"zone"})
    assert run(text, TOKEN="hidden-token")[1] == "tool now: unchanged"
    assert run(text, TOKEN="another-token")[1] == "tool now: changed"


def test_agents_share_a_tool_by_name_and_may_not_define_it_twice():
    shared = agent(
        "- {name: a, provider: demo, model: demo, tools: [{kind: clock}]}",
        "- {name: b, provider: demo, model: demo, tools: [{name: clock}]}",
    )
    assert run(shared).count("tool clock: created") == 1
    twice = agent(
        "- {name: a, provider: demo, model: demo, tools: [{kind: clock}]}",
        "- {name: b, provider: demo, model: demo, tools: [{kind: clock, timeout_s: 3}]}",
    )
    assert problems(twice) == ["agents[2].tools[0]: another tool of this file has the name 'clock' and other settings"]


def test_taking_a_tool_off_the_list_takes_it_from_the_agent():
    run(LEAST)
    run(LEAST.replace("[{kind: clock}]", "[]"))
    assert versions.load_specs()["root"].tools == ()


def test_client_tools_may_be_a_list_of_names():
    run(agent("- {name: picky, provider: demo, model: demo, client_tools: [search, open]}"))
    assert versions.load_specs()["picky"].client_tools == ("search", "open")


def test_prompts_are_not_searched_for_variables_and_a_dollar_can_be_kept():
    run(agent("- {name: shell, provider: demo, model: demo, instructions: 'Write ${HOME}'}").replace(
        "{name: demo, kind: demo}", "{name: demo, kind: demo, options: {script: '$${HOME}'}}"
    ))  # fmt: skip
    assert versions.load_specs()["shell"].instructions == "Write ${HOME}"
    assert Provider.objects.get().options == {"script": "${HOME}"}


def test_a_key_left_out_keeps_the_stored_one():
    run(LEAST)
    run(LEAST.replace(', api_key: "${LOCAL_KEY}"', ""))
    assert Provider.objects.get().api_key == "sk-local"


def test_fallbacks_are_tried_in_the_order_of_the_file():
    run(agent("- {name: safe, provider: demo, model: one, fallbacks: [{provider: demo, model: two}]}"))
    assert [model.name for model in versions.load_specs()["safe"].models] == ["one", "two"]
