"""What is text in a document, piece by piece. Run by agents.extraction in a process of its own: documents come from strangers.

A kind is a line in READERS; its library is imported when it is needed. None of them follows references out of the document.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

_OPEN_XML = "application/vnd.openxmlformats-officedocument"


def _pdf(path: str) -> Iterator[str]:
    from pypdf import PdfReader

    for page in PdfReader(path).pages:
        yield f"{page.extract_text()}\n\n"


def _word(path: str) -> Iterator[str]:
    """Paragraphs and tables in their order."""
    from docx import Document
    from docx.table import Table

    for block in Document(path).iter_inner_content():
        if isinstance(block, Table):
            yield from _rows([cell.text for cell in row.cells] for row in block.rows)
        elif block.text:
            yield f"{block.text}\n\n"


def _sheets(path: str) -> Iterator[str]:
    """Each sheet under its name: stored values, not formulas."""
    from openpyxl import load_workbook

    with Path(path).open("rb") as file:  # by name it would ask for the name's ending
        for sheet in load_workbook(file, read_only=True, data_only=True).worksheets:
            sheet.reset_dimensions()  # what a file says of its size is not believed
            yield f"# {sheet.title}\n\n"
            yield from _rows(sheet.iter_rows(values_only=True))
            yield "\n"


def _slides(path: str) -> Iterator[str]:
    """Each slide under its number, then its notes."""
    from pptx import Presentation

    for number, slide in enumerate(Presentation(path).slides, 1):
        yield f"# Slide {number}\n\n"
        yield from _shapes(slide.shapes)
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            yield f"{slide.notes_slide.notes_text_frame.text}\n\n"


def _shapes(shapes: Iterable[Any]) -> Iterator[str]:
    for shape in shapes:
        if getattr(shape, "has_table", False):
            yield from _rows([cell.text for cell in row.cells] for row in shape.table.rows)
        elif hasattr(shape, "shapes"):
            yield from _shapes(shape.shapes)
        elif shape.has_text_frame and shape.text_frame.text:
            yield f"{shape.text_frame.text}\n\n"


def _rows(rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Cells with tabs between them; empty rows are left out."""
    for row in rows:
        line = "\t".join("" if cell is None else str(cell) for cell in row).rstrip()
        if line:
            yield f"{line}\n"


READERS: Mapping[str, Callable[[str], Iterator[str]]] = {
    "application/pdf": _pdf,
    f"{_OPEN_XML}.wordprocessingml.document": _word,
    f"{_OPEN_XML}.spreadsheetml.sheet": _sheets,
    f"{_OPEN_XML}.presentationml.presentation": _slides,
}
