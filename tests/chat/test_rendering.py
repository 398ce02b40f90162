"""Markdown on our own pages: sanitised, and the same whether it comes whole or as it is written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.rendering import Live, html

DOCUMENT = """# Prices

Hello **you**, see https://shop.example/a?b=1&c=2 and `code <b>`.
Second line.

| item | price |
|:--|--:|
| tea | 3 |

```python
print("<script>")

x = 1
```

1. one
2. two

   still two

> quoted

    indented

~~gone~~\r\n\r\nend
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("**b** _i_ ~~s~~", "<p><strong>b</strong> <em>i</em> <s>s</s></p>\n"),
        ("- [x] done", '<ul>\n<li class="task">☑ done</li>\n</ul>\n'),
        ("one\ntwo", "<p>one<br>\ntwo</p>\n"),
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"),
        ("<img src=x onerror=alert(1)>", "<p>&lt;img src=x onerror=alert(1)&gt;</p>\n"),
        ("README.md", "<p>README.md</p>\n"),
        (
            "```js\n1<2\n```",
            '<pre tabindex="0"><code class="language-js"><span class="mf">1</span><span class="o">&lt;</span><span class="mf">2</span>\n</code></pre>\n',  # noqa: E501
        ),
        ("```klingon\n1<2\n```", '<pre tabindex="0"><code class="language-klingon">1&lt;2\n</code></pre>\n'),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert html(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "[a](javascript:alert(1))", "[a](JaVaScRiPt:alert(1))", "[a](data:text/html,<script>1</script>)", "[a](vbscript:x)",
        "![a](javascript:x)", '[a](https://x.example "\\" onmouseover=\\"x")', "<a href='javascript:1'>a</a>", "<svg/onload=alert(1)>",
        "```x\" onload=\"1\nq\n```", "[a]: javascript:1\n\n[a]", "<https://x.example/\"onload=\"x>", "&lt;script&gt;", "<style>*{}</style>",
    ],
)  # fmt: skip
def test_no_markdown_becomes_a_program(text: str) -> None:
    shown = html(text).lower()
    assert "<script" not in shown
    assert "<svg" not in shown
    assert "<style" not in shown
    assert 'href="javascript' not in shown
    assert 'href="data' not in shown
    assert " onload=" not in shown.replace("&quot;", '"').split(">")[0]


def test_pictures_are_links_and_links_leave_no_trace() -> None:
    """A remote picture would tell its server who reads, and carry out what a model was made to write."""
    shown = html("![a cat](https://x.example/c.png?secret=1)")
    assert "<img" not in shown
    link = '<a href="https://x.example/c.png?secret=1" target="_blank" rel="noopener noreferrer nofollow">a cat</a>'
    assert shown == f"<p>{link}</p>\n"


def test_alignment_is_a_class() -> None:
    assert '<td class="right">3</td>' in html(DOCUMENT)
    assert "style=" not in html(DOCUMENT)


def written(text: str, sizes: list[int]) -> str:
    live, blocks, at = Live(), [], 0
    for size in [*sizes, len(text)]:
        live.add(text[at : at + size])
        at += size
        first, changed = live.changed()
        blocks[first:] = changed
    return "".join(blocks)


@given(sizes=st.lists(st.integers(1, 20), max_size=60))
@settings(max_examples=150, deadline=None)
def test_a_text_that_is_written_piece_by_piece_ends_as_the_whole(sizes: list[int]) -> None:
    assert written(DOCUMENT, sizes) == html(DOCUMENT)


@given(text=st.text(alphabet='ab #*`>-\n|[](1.\\"<&', max_size=80), size=st.integers(1, 9))
@settings(max_examples=300, deadline=None)
def test_finished_blocks_do_not_change(text: str, size: int) -> None:
    assert written(text, [size] * (len(text) // size)) == html(text)


def test_only_the_last_block_is_rendered_again() -> None:
    live = Live()
    live.add("one\n\ntwo\n")
    assert live.changed() == (0, ["<p>one</p>\n", "<p>two</p>\n"])
    live.add("and more")
    assert live.changed() == (1, ["<p>two<br>\nand more</p>\n"])
