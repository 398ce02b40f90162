"""Markdown as HTML for our own pages: rendered and sanitised here, so that no page has to trust what a model wrote.

Raw HTML is shown as text, pictures become links (a remote picture would tell a stranger who reads), links leave no trace.
The libraries are loaded with the first text: a process that renders none does without their 4 MB.
"""

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import nh3
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_LINE_END = re.compile(r"\r\n?")
_ALIGNED = {"text-align:left": "left", "text-align:center": "center", "text-align:right": "right"}
_TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip


class _Block(NamedTuple):
    """`line`: where it begins in the text."""

    line: int
    html: str


@lru_cache(maxsize=512)
def html(text: str) -> str:
    """The whole text."""
    return "".join(block.html for block in _blocks(text, {}))


class Live:
    """A text that is still being written, block by block: what is finished is rendered once, only the end again and again."""

    __slots__ = ("_env", "_finished", "_tail")

    def __init__(self) -> None:
        self._env: dict[str, Any] = {}
        self._finished = 0
        self._tail = ""

    def add(self, text: str) -> None:
        self._tail += text

    def changed(self) -> tuple[int, list[str]]:
        """Which block is the first that may have changed, and the HTML of it and those after it."""
        blocks = _blocks(self._tail, self._env)
        first = self._finished
        self._finish(blocks)
        return first, [block.html for block in blocks]

    def _finish(self, blocks: list[_Block]) -> None:
        """A block is finished when another one follows, on a line that is complete: `#` may still become `#1`, which joins it."""
        lines = _LINE_END.sub("\n", self._tail).split("\n")
        begun = [at for at, block in enumerate(blocks) if block.line < len(lines) - 1]
        if begun and begun[-1]:
            self._finished += begun[-1]
            self._tail = "\n".join(lines[blocks[begun[-1]].line :])


@cache
def _markdown() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True, "linkify": True}).enable(["table", "strikethrough", "linkify"])
    assert markdown.linkify is not None
    markdown.linkify.set({"fuzzy_link": False, "fuzzy_email": False})  # README.md is no web site
    return markdown


@cache
def _cleaner() -> "nh3.Cleaner":
    import nh3

    return nh3.Cleaner(
        tags=_TAGS,
        attributes={"a": {"href", "title"}, "ol": {"start"}, "code": {"class"}, "th": {"class"}, "td": {"class"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}, "pre": {"tabindex": "0"}},
        attribute_filter=lambda tag, name, value: _class(tag, value) if name == "class" else value,
    )


def _blocks(text: str, env: dict[str, Any]) -> list[_Block]:
    """The top-level blocks."""
    markdown, cleaner = _markdown(), _cleaner()
    tokens = markdown.parse(text, env)
    blocks: list[_Block] = []
    begin = 0
    for end, token in enumerate(tokens, 1):
        if token.level == 0 and token.nesting <= 0:
            told = cleaner.clean(markdown.renderer.render(_tamed(tokens[begin:end]), markdown.options, env))
            blocks.append(_Block((tokens[begin].map or [0])[0], told))
            begin = end
    return blocks


def _tamed(tokens: "Iterable[Token]") -> "list[Token]":
    """Alignment as a class (the page's policy allows no style), pictures as links."""
    tamed = []
    for token in tokens:
        style = token.attrs.pop("style", "")
        if style in _ALIGNED:
            token.attrs["class"] = _ALIGNED[str(style)]
        if token.children:
            token.children = [linked for child in token.children for linked in _linked(child)]
        tamed.append(token)
    return tamed


def _linked(token: "Token") -> "list[Token]":
    if token.type != "image":
        return [token]
    new = type(token)
    text = new("text", "", 0, content=token.content or "picture")
    return [new("link_open", "a", 1, attrs={"href": token.attrs.get("src", "")}), text, new("link_close", "a", -1)]


def _class(tag: str, value: str) -> str | None:
    if tag == "code":
        return value if value.startswith("language-") else None
    return value if value in _ALIGNED.values() else None


html("**warm** https://example.com `up`")  # the first text costs forty milliseconds, in which no stream should stand still
