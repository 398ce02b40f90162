"""The definition of a workflow, as JSON or YAML says it: inputs, and steps that hang on each other by what they name."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

MAX_STEPS = 200
MAX_DEPTH = 8
MAX_ITEMS = 1000
PARALLEL = 8
"""How many steps of one run work at the same time, at most."""

Id = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
Template = Annotated[str, Field(max_length=40_000)]
InputType = Literal["string", "number", "integer", "boolean", "object", "array", "message", "history"]
OutputType = Literal["any", "string", "number", "integer", "boolean", "object", "array", "image", "audio", "video", "document"]


class DefinitionError(ValueError):
    """What is wrong with a definition: sentences that begin with the step, or the place, that they are about."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Input(Item):
    """`message` is the text of the last message, `history` the conversation's earlier messages (WS-59)."""

    name: Id
    type: InputType = "string"
    default: Any = None
    required: bool = True
    description: Annotated[str, Field(max_length=500)] = ""


class Retry(Item):
    """How often a failed step is tried again, and after which pause (seconds), which grows by `factor` each time."""

    times: Annotated[int, Field(ge=0, le=10)] = 0
    delay_s: Annotated[float, Field(ge=0, le=600)] = 1.0
    factor: Annotated[float, Field(ge=1, le=10)] = 2.0


class Base(Item):
    id: Id
    label: Annotated[str, Field(max_length=80)] = ""
    after: Sequence[Id] = ()

    @property
    def shown_name(self) -> str:
        return self.label or self.id

    @property
    def blocks(self) -> Mapping[str, Sequence["Step"]]:
        """The lists of steps within this one."""
        return {}

    def bindings(self) -> Iterator[tuple[str, str, bool]]:
        """The templates of this step: field, text, and whether it is an expression without braces."""
        return iter(())


class Leaf(Base):
    retry: Retry = Retry()
    timeout_s: Annotated[float | None, Field(gt=0, le=86_400)] = None
    on_error: Literal["fail", "continue"] = "fail"


class AgentStep(Leaf):
    """Asks an agent. `tools`: only these of its tools. `schema`: the answer is JSON that matches it."""

    kind: Literal["agent"]
    agent: Annotated[str, Field(min_length=1, max_length=64)]
    message: Template
    instructions: Template = ""
    history: Template = ""
    files: bool = False
    tools: Sequence[str] | None = None
    output: Literal["text", "json"] = "text"
    output_schema: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    max_steps: Annotated[int | None, Field(ge=1, le=100)] = None

    def bindings(self) -> Iterator[tuple[str, str, bool]]:
        yield "message", self.message, False
        yield "instructions", self.instructions, False
        if self.history:
            yield "history", self.history, "{{" not in self.history


class ToolStep(Leaf):
    """Calls a tool of the workflow's agent."""

    kind: Literal["tool"]
    tool: Annotated[str, Field(min_length=1, max_length=64)]
    arguments: dict[str, Any] = {}

    def bindings(self) -> Iterator[tuple[str, str, bool]]:
        yield from _templates("arguments", self.arguments)


class ApprovalStep(Base):
    """Waits until somebody says yes or no (R15). Its output is `{"approved", "reason"}`."""

    kind: Literal["approval"]
    message: Template
    details: dict[str, Any] = {}
    approver: Literal["caller", "manager"] = "caller"
    on_denial: Literal["fail", "continue"] = "fail"

    def bindings(self) -> Iterator[tuple[str, str, bool]]:
        yield "message", self.message, False
        yield from _templates("details", self.details)


class OutputStep(Base):
    """A value of the job's result. Steps of one `name` (of two branches, or of a map) make a list of values."""

    kind: Literal["output"]
    name: Annotated[str, Field(max_length=64)] = ""
    value: Any = None
    type: OutputType = "any"

    @property
    def output_name(self) -> str:
        return self.name or self.id

    def bindings(self) -> Iterator[tuple[str, str, bool]]:
        yield from _templates("value", self.value)


class BranchStep(Base):
    """Takes one of two ways. Its output is that of the last step of the way it took."""

    kind: Literal["branch"]
    condition: Template
    then: Sequence["Step"] = ()
    otherwise: Annotated[Sequence["Step"], Field(alias="else")] = ()

    @property
    def blocks(self) -> Mapping[str, Sequence["Step"]]:
        return {"then": self.then, "else": self.otherwise}

    def bindings(self) -> Iterator[tuple[str, str, bool]]:
        yield "condition", self.condition, "{{" not in self.condition


class ParallelStep(Base):
    """Steps that work side by side. Its output is an object with theirs."""

    kind: Literal["parallel"]
    steps: Annotated[Sequence["Step"], Field(min_length=1)]
    concurrency: Annotated[int, Field(ge=1, le=PARALLEL)] = PARALLEL

    @property
    def blocks(self) -> Mapping[str, Sequence["Step"]]:
        return {"steps": self.steps}


class MapStep(Base):
    """The same steps for each item of a list, as `item` and `index`. Its output is the list of the last step's outputs."""

    kind: Literal["map"]
    over: Template | list[Any]
    steps: Annotated[Sequence["Step"], Field(min_length=1)]
    concurrency: Annotated[int, Field(ge=1, le=PARALLEL)] = 4

    @property
    def blocks(self) -> Mapping[str, Sequence["Step"]]:
        return {"steps": self.steps}

    def bindings(self) -> Iterator[tuple[str, str, bool]]:
        if isinstance(self.over, str):
            yield "over", self.over, "{{" not in self.over
        else:
            yield from _templates("over", self.over)


Step = Annotated[
    AgentStep | ToolStep | ApprovalStep | OutputStep | BranchStep | ParallelStep | MapStep,
    Field(discriminator="kind"),
]


class Definition(Item):
    """What a workflow takes and does."""

    inputs: Sequence[Input] = ()
    steps: Annotated[Sequence[Step], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def check_depth(cls, value: Any) -> Any:
        """Before anything is built: nothing nests without end."""
        if _depth(value) > 4 * MAX_DEPTH + 24:
            raise PydanticCustomError("depth", "is nested too deeply")
        return value


def parse(value: Any) -> Definition:
    """The definition in its shape. Raises DefinitionError; whether it makes sense is chat.workflows.graph's business."""
    try:
        return Definition.model_validate(value)
    except ValidationError as error:
        raise DefinitionError(*(_problem(value, found) for found in error.errors(include_url=False))) from None


def read(text: str) -> Any:
    """JSON, or YAML, as a value. Raises DefinitionError with the line."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DefinitionError(f"not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise DefinitionError("must be an object with the keys inputs and steps")
    return value


def written(definition: Mapping[str, Any]) -> str:
    """The definition as YAML, for people."""
    return yaml.dump(definition, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Texts of several lines are written as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def walk(steps: Sequence[Step]) -> Iterator[Step]:
    """Every step, each before those within it."""
    for step in steps:
        yield step
        for block in step.blocks.values():
            yield from walk(block)


def _templates(field: str, value: Any) -> Iterator[tuple[str, str, bool]]:
    from chat.workflows.expressions import templates

    for path, text in templates(value, field):
        yield path, text, False


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level and depth < 200:
        level = [child for each in level for child in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())]
        depth += 1
    return depth


def _problem(value: Any, found: Any) -> str:
    """`step fetch: timeout_s: must be greater than 0`: the step, the field, and what is wrong."""
    place, rest, here = "", [], value
    for key in found["loc"]:
        here = here[key] if (isinstance(here, dict) and key in here) or (isinstance(here, list) and isinstance(key, int)) else here
        rest.append(key)
        if isinstance(here, dict) and isinstance(key, int):
            named = here.get("id") or here.get("name")
            place = f"{'input' if 'inputs' in found['loc'][:1] else 'step'} {named if isinstance(named, str) else f'number {key + 1}'}"
            rest = []
    fields = [str(key) for key in (rest[1:] if rest[:1] and rest[0] in _KINDS else rest)]
    return ": ".join(filter(None, (place, ".".join(fields), _sentence(found))))


_KINDS = ("agent", "tool", "approval", "output", "branch", "parallel", "map")


def _sentence(found: Any) -> str:
    match found["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "unknown field"
        case "union_tag_invalid" | "union_tag_not_found":
            return f"kind must be one of {', '.join(_KINDS)}"
        case "is_instance_of" | "sequence_str":
            return "must be a list"
        case "too_short":
            return f"needs at least {found['ctx']['min_length']}"
        case "string_pattern_mismatch":
            return "letters, digits and _, beginning with a letter; at most 63"
        case _:
            return str(found["msg"])
