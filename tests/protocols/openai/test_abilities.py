"""Images, audio and files by what the agent's model takes (OAI-23)."""

import base64
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from agents import attachments
from agents.access import Principal
from agents.errors import SwitchboardError
from agents.specs import AgentSpec
from chat.protocols.openai.abilities import checked
from chat.protocols.openai.messages import parse_messages
from chat.requests import Part
from tests.protocols.openai.agents import agent

OWNER = Principal(kind="static", key="static", namespace="static")
STRANGER = Principal(kind="anonymous", key="anonymous", namespace="anonymous")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
PNG_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
PDF = Path(__file__).with_name("hello.pdf")


def image(url: str = PNG_URL) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def file(name: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "file": {"filename": name, "file_data": base64.b64encode(content).decode()}}


def attached(file_id: str) -> dict[str, Any]:
    return {"type": "file", "file": {"file_id": file_id}}


AUDIO = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}


async def taken(part: dict[str, Any], able: AgentSpec, principal: Principal = OWNER) -> Part:
    entries = parse_messages([{"role": "user", "content": [{"type": "text", "text": "Look"}, part]}]).entries
    return (await checked(entries, able, principal))[0].parts[1]


async def refused(part: dict[str, Any], able: AgentSpec, principal: Principal = OWNER) -> tuple[str, str | None]:
    with pytest.raises(SwitchboardError) as caught:
        await taken(part, able, principal)
    assert caught.value.status == 400
    return caught.value.code, caught.value.param


async def test_what_the_model_takes_is_passed_on() -> None:
    able = agent(takes=("images", "audio", "files"))
    assert (await taken(image(), able))["url"] == PNG_URL
    assert (await taken(image("https://example.com/a.png"), able))["url"] == "https://example.com/a.png"
    assert (await taken(AUDIO, able))["data"] == "aGk="
    assert (await taken(file("a.pdf", b"%PDF-"), able))["data"] == "data:application/pdf;base64,JVBERi0="


async def test_what_it_does_not_take_is_refused() -> None:
    assert await refused(image(), agent()) == ("unsupported_content_part", "messages[0].content[1].image_url.url")
    assert await refused(AUDIO, agent()) == ("unsupported_content_part", "messages[0].content[1].input_audio")
    assert await refused(file("a.zip", b"PK"), agent()) == ("unsupported_content_part", "messages[0].content[1].file")


async def test_remote_images_are_for_providers_that_fetch_them() -> None:
    """We never fetch them ourselves."""
    able = agent(takes=("images",), fetches_urls=False)
    assert await refused(image("https://example.com/a.png"), able) == ("unsupported_content_part", "messages[0].content[1].image_url.url")
    assert (await taken(image(), able))["url"] == PNG_URL


async def test_text_files_are_read_for_models_that_take_none() -> None:
    part = await taken(file("notes.md", "Grüße".encode()), agent())
    assert (part["filename"], part["text"], "data" in part) == ("notes.md", "Grüße", False)
    assert await refused(file("notes.md", b"\xff\xfe"), agent()) == ("unsupported_content_part", "messages[0].content[1].file")


async def test_documents_are_read_for_models_that_take_none() -> None:
    assert "Hello from a page" in (await taken(file("hello.pdf", PDF.read_bytes()), agent()))["text"]
    assert await refused(file("broken.pdf", b"%PDF-1.4 nothing"), agent()) == ("unsupported_content_part", "messages[0].content[1].file")


@pytest.mark.django_db(transaction=True)
async def test_uploaded_files_of_the_caller() -> None:
    """As bytes, as an image, or as text, by what the model takes."""
    note = await attachments.store(OWNER, "note.txt", [b"Remember the milk."])
    picture = await attachments.store(OWNER, "a.png", [PNG])
    assert (await taken(attached(str(note.id)), agent()))["text"] == "Remember the milk."
    assert (await taken(attached(str(note.id)), agent(takes=("files",))))["data"].startswith("data:text/plain;base64,")
    assert (await taken(attached(str(picture.id)), agent(takes=("images",))))["url"] == PNG_URL
    assert await refused(attached(str(picture.id)), agent()) == ("unsupported_content_part", "messages[0].content[1].file.file_id")


@pytest.mark.django_db(transaction=True)
async def test_files_of_others_do_not_exist() -> None:
    """R2.2, R0.2: the same answer for foreign, unknown, deleted and impossible ids."""
    note = await attachments.store(OWNER, "note.txt", [b"Remember the milk."])
    await attachments.delete(OWNER, str(note.id))
    other = await attachments.store(STRANGER, "note.txt", [b"Mine."])
    for file_id in (str(note.id), str(other.id), str(uuid4()), "x", "a\u0000b" * 100):
        assert await refused(attached(file_id), agent(takes=("files",))) == ("invalid_value", "messages[0].content[1].file.file_id")
