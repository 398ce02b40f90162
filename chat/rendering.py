"""Markdown as HTML for our own pages: rendered and sanitised here, so that no page has to trust what a model wrote.

Raw HTML is shown as text, pictures become links (a remote picture would tell a stranger who reads), links leave no trace.
Code is coloured by classes (Pygments). What is not needed is not loaded, 4 MB for a process without pages; Pygments comes with the
first code of a known language.
"""

import re
import time
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import nh3
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from pygments.lexer import Lexer

_LONGEST_COLOURED = 50_000
"""Characters of a piece of code; a longer one is shown plainly."""
_CHEAP_S, _REST, _LONGEST_REST_S = 0.005, 20, 0.25
"""A text that is dear to render rests, so that one stream takes a twentieth of the process at most; never for long."""
_TOKEN_CLASS = re.compile(r"[a-z][a-z0-9]{0,2}\Z")
_LINE_END = re.compile(r"\r\n?")
_ALIGNED = {"text-align:left": "left", "text-align:center": "center", "text-align:right": "right"}
_TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "span", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip

_BOXES = {"[ ] ": "☐ ", "[x] ": "☑ ", "[X] ": "☑ "}
"""What a list of tasks has in place of dots."""


class _Block(NamedTuple):
    """`line`: where it begins in the text."""

    line: int
    html: str


def warm() -> None:
    """Loads what texts need: forty milliseconds in which no stream should stand still. Pages call it, in a thread, before they show any."""
    html("**warm** https://example.com `up`")


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


class Painting:
    """The texts of one turn while they are written, each a block with a number of its own, as changes of their HTML:

    `{"block", "from", "html": […]}` takes the place of the pieces of that block from number `from` on. `least_rest_s`: for readers
    who show by themselves what was not rendered yet.
    """

    __slots__ = ("_least_rest_s", "_next_s", "_open", "_stale", "_texts")

    def __init__(self, least_rest_s: float = 0.0) -> None:
        self._least_rest_s = least_rest_s
        self.clear()

    def clear(self) -> None:
        self._texts: dict[int, Live] = {}
        self._open = 0
        self._stale = False
        self._next_s = 0.0

    def add(self, block: int, text: str) -> list[dict[str, Any]]:
        """Returns what is still to be shown of a text that this one ends."""
        ended = self.rest() if block != self._open else []
        self._open, self._stale = block, True
        self._texts.setdefault(block, Live()).add(text)
        return ended

    def changed(self) -> list[dict[str, Any]]:
        """What is to be shown now; the dearer it is, the longer until the next time."""
        return self.rest() if time.monotonic() >= self._next_s else []

    def rest(self) -> list[dict[str, Any]]:
        """All that was not shown yet."""
        if not self._stale:
            return []
        begun = time.monotonic()
        first, blocks = self._texts[self._open].changed()
        cost_s = time.monotonic() - begun
        rest_s = min(cost_s * _REST, _LONGEST_REST_S) if cost_s > _CHEAP_S else 0.0
        self._stale, self._next_s = False, begun + max(rest_s, self._least_rest_s)
        return [{"block": self._open, "from": first, "html": blocks}]


@cache
def _markdown() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    options = {"html": False, "breaks": True, "linkify": True, "highlight": _coloured}
    markdown = MarkdownIt("commonmark", options).enable(["table", "strikethrough", "linkify"])
    assert markdown.linkify is not None
    markdown.linkify.set({"fuzzy_link": False, "fuzzy_email": False})  # README.md is no web site
    return markdown


@cache
def _cleaner() -> "nh3.Cleaner":
    import nh3

    return nh3.Cleaner(
        tags=_TAGS,
        attributes={"a": {"href", "title"}, "ol": {"start"}} | {tag: {"class"} for tag in ("code", "span", "th", "td", "li")},
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
    """Alignment as a class (the page's policy allows no style), pictures as links, tasks with boxes."""
    tamed: list[Token] = []
    for token in tokens:
        style = token.attrs.pop("style", "")
        if style in _ALIGNED:
            token.attrs["class"] = _ALIGNED[str(style)]
        if token.type == "inline" and tuple(before.type for before in tamed[-2:]) == ("list_item_open", "paragraph_open"):
            _ticked(tamed[-2], token)
        if token.children:
            token.children = [linked for child in token.children for linked in _linked(child)]
        tamed.append(token)
    return tamed


def _ticked(item: "Token", words: "Token") -> None:
    first = words.children[0] if words.children else None
    if first and first.type == "text" and (box := _BOXES.get(first.content[:4])):
        first.content = box + first.content[4:]
        item.attrs["class"] = "task"


def _linked(token: "Token") -> "list[Token]":
    if token.type != "image":
        return [token]
    new = type(token)
    text = new("text", "", 0, content=token.content or "picture")
    return [new("link_open", "a", 1, attrs={"href": token.attrs.get("src", "")}), text, new("link_close", "a", -1)]


def _class(tag: str, value: str) -> str | None:
    if tag == "code":
        return value if value.startswith("language-") else None
    if tag == "span":
        return value if _TOKEN_CLASS.match(value) else None
    if tag == "li":
        return value if value == "task" else None
    return value if value in _ALIGNED.values() else None


@lru_cache(maxsize=256)
def _coloured(code: str, language: str, _: str) -> str:
    """The code as spans; "": as it is."""
    lexer = _lexer(language.lower()) if language and len(code) <= _LONGEST_COLOURED else None
    if lexer is None:
        return ""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter

    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))


@lru_cache(maxsize=256)
def _lexer(language: str) -> "Lexer | None":
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return None
