"""The file that `agents apply` reads: YAML with `providers`, `tools`, `agents` and `workflows`, secrets by `${NAME}` from the environment.

Everything but names may be left out; what is left out stays as it is. Unknown keys are refused with their path.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

_VARIABLE = re.compile(r"\$\$\{|\$\{([^{}]*)\}")
_WITH_VARIABLES = ("providers", "tools")
_PROSE = frozenset(("description", "instructions"))
"""Never searched for variables: a prompt may speak of ${NAME}."""


class ApplyError(ValueError):
    """A file that cannot be applied. `problems` are lines `path: what is wrong`; nothing was changed."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    def given(self, *names: str) -> dict[str, Any]:
        """The values among `names` that the file names."""
        return {name: getattr(self, name) for name in names if name in self.model_fields_set}


Seconds = Annotated[float, Field(gt=0)]


class ProviderEntry(Entry):
    name: str
    kind: str = "openai_compatible"
    base_url: str = ""
    api_key: str = ""
    headers: dict[str, str] = {}
    connect_timeout_s: Seconds = 10
    first_token_timeout_s: Seconds = 120
    idle_timeout_s: Seconds = 60
    max_retries: int = 2
    fetches_urls: bool = True
    options: dict[str, Any] = {}


class ToolEntry(Entry):
    """A tool of an agent. With `kind` it is made or changed; without, it names one that exists.

    Keys that are not listed here are the kind's own settings and go into `config`.
    """

    model_config = ConfigDict(extra="allow", strict=True)

    kind: str = ""
    name: str = ""
    description: str = ""
    config: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    timeout_s: Seconds = 30
    masked_arguments: list[str] = []
    requires_approval: bool = False
    approver: Literal["caller", "manager"] = "caller"

    @model_validator(mode="after")
    def _named(self) -> Self:
        self.name = self.name or self.kind
        if not self.name:
            raise ValueError("a tool needs a kind, or the name of a tool that exists")
        unused = self.settings or self.model_fields_set & {"description", "secrets", "timeout_s", "masked_arguments"}
        if not self.kind and unused:
            raise ValueError("settings of a tool need its kind")
        return self

    @property
    def settings(self) -> dict[str, Any]:
        return {**(self.model_extra or {}), **self.config}

    @property
    def definition(self) -> dict[str, Any]:
        """What belongs to the tool itself; approval belongs to the agent that has it."""
        return {"kind": self.kind, "config": self.settings, **self.given("description", "secrets", "timeout_s", "masked_arguments")}


class FallbackEntry(Entry):
    provider: str
    model: str


class AgentEntry(Entry):
    name: str
    provider: str = ""
    model: str = ""
    fallbacks: list[FallbackEntry] = []
    display_name: str = ""
    description: str = ""
    avatar: str = ""
    instructions: Annotated[str, Field(max_length=40_000)] = ""
    context_window: int = 128_000
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: list[str] = []
    reasoning_effort: Literal["", "none", "minimal", "low", "medium", "high", "xhigh", "max"] = ""
    sampling_locked: bool = False
    allowed_models: list[str] = []
    unsupported_parameters: list[str] = []
    max_steps: int = 20
    run_timeout_s: int = 3600
    turn_policy: Literal["queue", "reject", "interrupt"] = "queue"
    max_parallel_runs: int = 0
    max_queued_chats: int = 20
    max_parallel_tasks: int = 10
    max_queued_tasks: int = 1000
    client_tools: Literal["pass", "ignore", "list"] | list[str] = "pass"
    client_tool_names: list[str] = []
    caller_instructions: bool = True
    show_reasoning: bool = False
    accept_images: bool = False
    accept_audio: bool = False
    accept_files: bool = False
    max_body_bytes: int = 0
    output_mode: Literal["text", "json_object", "json_schema"] = "text"
    output_schema: dict[str, Any] | None = None
    approval_notice: str = "This step needs approval before it can continue."
    conversation_starters: list[str] = []
    enabled: bool = True
    owner: str | None = None
    managers: list[str] = []
    access: Literal["private", "shared", "signed_in"] = "signed_in"
    shared_users: list[str] = []
    shared_groups: list[str] = []
    shareable: bool = True
    require_email: bool = False
    tools: list[ToolEntry] = []

    @model_validator(mode="after")
    def _listed_client_tools(self) -> Self:
        """`client_tools: [a, b]` is short for `client_tools: list` with `client_tool_names: [a, b]`."""
        if isinstance(self.client_tools, list):
            self.client_tool_names, self.client_tools = self.client_tools, "list"
        return self


class WorkflowEntry(Entry):
    """A workflow of an agent; its definition is checked by the floor that runs it (chat.workflows)."""

    name: str
    agent: str = ""
    display_name: str = ""
    description: str = ""
    enabled: bool = True
    definition: dict[str, Any]


class AgentsFile(Entry):
    providers: list[ProviderEntry] = []
    tools: list[ToolEntry] = []
    agents: list[AgentEntry] = []
    workflows: list[WorkflowEntry] = []


def read(path: Path, environ: Mapping[str, str]) -> AgentsFile:
    """The file at `path`. Raises ApplyError with the path of everything that is wrong."""
    try:
        return parse(path.read_text(encoding="utf-8"), environ)
    except (OSError, UnicodeDecodeError) as error:
        raise ApplyError(f"{path}: cannot be read: {error}") from error
    except ApplyError as error:
        raise ApplyError(*(f"{path}: {problem}" for problem in error.problems)) from error


def parse(text: str, environ: Mapping[str, str]) -> AgentsFile:
    """The file with this `text`; `${NAME}` in providers and tools is taken from `environ`. Raises ApplyError."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ApplyError(f"not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ApplyError("must have the keys providers, tools or agents")
    problems: list[str] = []
    filled = {key: _fill(value, str(key), environ, problems) for key, value in data.items()}
    if problems:
        raise ApplyError(*problems)
    try:
        return _unambiguous(AgentsFile.model_validate(filled))
    except ValidationError as error:
        raise ApplyError(*_problems(error)) from error


def _fill(value: Any, path: str, environ: Mapping[str, str], problems: list[str]) -> Any:
    """`value` with variables replaced, as far as they count there; what is missing is added to `problems`."""
    match value:
        case dict():
            return {key: _fill(item, f"{path}.{key}", environ, problems) for key, item in value.items()}
        case list():
            return [_fill(item, f"{path}[{index}]", environ, problems) for index, item in enumerate(value)]
        case str() if _has_variables(path):
            return _VARIABLE.sub(lambda match: _variable(match, path, environ, problems), value)
    return value


def _has_variables(path: str) -> bool:
    names = re.split(r"\[\d+\]\.?|\.", path)
    if names[0] == "workflows":
        return False
    return any(name in _WITH_VARIABLES for name in names) and names[-1] not in _PROSE


def _variable(match: re.Match[str], path: str, environ: Mapping[str, str], problems: list[str]) -> str:
    name = match[1]
    if name is None:
        return "${"
    if not environ.get(name):
        problems.append(f"{path}: the environment variable {name} is not set")
    return environ.get(name, "")


def _unambiguous(file: AgentsFile) -> AgentsFile:
    """The file, if no name stands for two things. Raises ApplyError."""
    problems = [*_twice("providers", [entry.name for entry in file.providers]), *_twice("agents", [entry.name for entry in file.agents])]
    problems += _twice("workflows", [entry.name for entry in file.workflows])
    problems += [f"tools[{index}].kind: is required" for index, tool in enumerate(file.tools) if not tool.kind]
    for index, agent in enumerate(file.agents):
        problems += _twice(f"agents[{index}].tools", [tool.name for tool in agent.tools])
    defined: dict[str, ToolEntry] = {}
    for path, tool in tools_of(file):
        if tool.kind and defined.setdefault(tool.name, tool).definition != tool.definition:
            problems.append(f"{path}: another tool of this file has the name {tool.name!r} and other settings")
    if problems:
        raise ApplyError(*problems)
    return file


def tools_of(file: AgentsFile) -> Iterator[tuple[str, ToolEntry]]:
    """Every tool entry with its path, those of agents included."""
    for index, tool in enumerate(file.tools):
        yield f"tools[{index}]", tool
    for place, agent in enumerate(file.agents):
        for index, tool in enumerate(agent.tools):
            yield f"agents[{place}].tools[{index}]", tool


def _twice(path: str, names: list[str]) -> list[str]:
    return [f"{path}[{index}].name: {name!r} is used twice" for index, name in enumerate(names) if name in names[:index]]


def _problems(error: ValidationError) -> list[str]:
    return [f"{_path(problem['loc'])}: {_sentence(problem)}" for problem in error.errors()]


def _path(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".") or "file"


def _sentence(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "unknown key"
    if problem["type"] == "missing":
        return "is required"
    return str(problem["msg"]).removeprefix("Value error, ")
