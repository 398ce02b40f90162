"""Files that come with a message (AG-7)."""

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from pytest_django.fixtures import Settings

from agents.access import Principal
from agents.errors import SwitchboardError
from agents.models import Attachment
from agents.specs import AgentSpec, ModelSpec, ProviderSpec
from chat.fields import Shape, parse
from chat.files import MAX_FILE_BYTES, Files, brought
from tests.support import files

MODEL = ModelSpec(provider=ProviderSpec(id="1", name="p", kind="demo"), name="m")
AGENT = AgentSpec(id=None, name="helper", models=(MODEL,))
VISITOR = Principal(kind="link", key="link:1:a", namespace="link:1")
pytestmark = pytest.mark.django_db(transaction=True)


class Body(Shape):
    files: Files = None


@pytest.fixture(autouse=True)
def _uploads(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


def sent(content: bytes, name: str = "a", mimetype: str = "", prefix: str = "") -> dict[str, Any]:
    return {"name": name, "mimetype": mimetype, "data_base64": prefix + base64.b64encode(content).decode(), "size": -1}


def seeing(**able: bool) -> AgentSpec:
    return replace(AGENT, models=(replace(MODEL, **able),))


async def parts(agent: AgentSpec, *sent_files: dict[str, Any]) -> list[dict[str, Any]]:
    asked = parse(Body, {"files": list(sent_files)})
    async with brought(VISITOR, agent, asked.files) as found:
        return [dict(part) for part in found.parts]


async def test_the_model_is_given_what_it_takes() -> None:
    image, text = sent(files.png(), "a.png", "text/plain", "data:image/gif;base64,"), sent(b"a,b", "../t.csv", "text/csv")
    (part,) = await parts(seeing(takes_images=True), image)
    assert part["url"].startswith("data:image/png;base64,")
    (part,) = await parts(AGENT, text)
    assert {name: part[name] for name in ("type", "filename", "media_type", "text")} == {
        "type": "file", "filename": "t.csv", "media_type": "text/csv", "text": "a,b",
    }  # fmt: skip
    (part,) = await parts(seeing(takes_files=True), text)
    assert part["data"] == "data:text/csv;base64,YSxi"


async def test_what_it_cannot_take_is_kept_and_mentioned() -> None:
    """Archives are stored and never unpacked."""
    for able in (AGENT, seeing(takes_files=True, takes_images=True)):
        (part,) = await parts(able, sent(files.archive(), "a.zip", "application/zip"))
        assert set(part) == {"type", "filename", "media_type", "attachment_id", "inline"}
    row = await Attachment.objects.afirst()
    assert row is not None
    assert (row.name, row.mime_type, row.namespace) == ("a.zip", "application/octet-stream", "link:1")


@pytest.mark.parametrize(
    "body",
    [
        [sent(b"x")] * 4,
        [sent(b"x", "n" * 256)],
        [sent(b"x", "")],
        [{"name": "a", "data_base64": "!!"}],
        [{"name": "a", "data_base64": 5}],
        [{"name": "a"}],
        [sent(b"x" * (MAX_FILE_BYTES + 1))],
        "files",
    ],
    ids=["four", "long name", "no name", "not base64", "a number", "no data", "too large", "no list"],
)
def test_bad_files_are_refused(body: Any) -> None:
    with pytest.raises(SwitchboardError) as refusal:
        parse(Body, {"files": body})
    assert refusal.value.code == "validation_error"


async def refused(asked: Body) -> None:
    async with brought(VISITOR, AGENT, asked.files):
        raise SwitchboardError("queue_full")


def test_a_refused_message_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(SwitchboardError):
        async_to_sync(refused)(parse(Body, {"files": [sent(b"x")]}))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not Attachment.objects.exists()


async def test_uploads_of_others_are_unknown() -> None:
    for unknown in ("x", "8b1f2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"):
        with pytest.raises(SwitchboardError) as refusal:
            async with brought(VISITOR, AGENT, None, [unknown]):
                pass
        assert (refusal.value.code, refusal.value.errors[0]["loc"]) == ("validation_error", ["body", "attachments"])
