"""Form fields of the admin: secrets that are never shown again, lists as lines, JSON that can be read.

Widget templates live in agents/templates: forms look for theirs inside apps only.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.utils.datastructures import MultiValueDict
from unfold import widgets

from agents.models import Provider

MONOSPACE = {"class": "sb-mono", "spellcheck": "false"}


class SecretWidget(forms.Widget):
    """An empty box, whatever is stored, and a checkbox to remove it. The stored value never reaches the page."""

    template_name = "admin/agents/secret.html"

    def __init__(self, rows: int = 0) -> None:
        super().__init__()
        self.rows = rows

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, None, attrs)
        classes = " ".join(widgets.TEXTAREA_CLASSES if self.rows else widgets.INPUT_CLASSES)
        context["widget"] |= {"is_set": bool(value), "rows": self.rows, "classes": classes, "checkbox": " ".join(widgets.CHECKBOX_CLASSES)}
        return context

    def value_from_datadict(self, data: Mapping[str, Any], files: MultiValueDict[str, Any], name: str) -> tuple[str, bool]:
        return str(data.get(name) or "").strip(), bool(data.get(f"{name}-clear"))

    def use_required_attribute(self, initial: Any) -> bool:
        return False


class SecretField(forms.FileField):
    """A write-only text: empty keeps the stored one, the checkbox clears it. `json_object`: it must be an object of texts.

    It stands on FileField because that is the one field that is told what is stored, and never shows it.
    """

    def __init__(self, *, json_object: bool = False, **options: Any) -> None:
        options.setdefault("required", False)
        super().__init__(widget=SecretWidget(rows=3 if json_object else 0), **options)
        self.json_object = json_object

    def clean(self, data: tuple[str, bool], initial: Any = None) -> str:
        text, clear = data
        if text and clear:
            raise forms.ValidationError("Either type a new value or remove the present one.")
        if text and self.json_object:
            _check_texts(text)
        return text or ("" if clear else str(initial or ""))

    def bound_data(self, data: Any, initial: Any) -> Any:
        return initial

    def has_changed(self, initial: Any, data: Any) -> bool:
        return any(data or ())


def _check_texts(text: str) -> None:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise forms.ValidationError(f"Not valid JSON: {error}") from error
    if not isinstance(value, dict) or not all(isinstance(member, str) for member in value.values()):
        raise forms.ValidationError('A JSON object whose values are texts, for example {"name": "value"}.')


class LinesField(forms.CharField):
    """A list of texts, one a line. `escaped`: \\n and \\t in a line stand for the characters they name."""

    def __init__(self, *, escaped: bool = False, max_lines: int = 200, rows: int = 3, **options: Any) -> None:
        options.setdefault("required", False)
        super().__init__(widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": rows}), **options)
        self.escaped, self.max_lines = escaped, max_lines

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return "\n".join(_escape(str(line)) if self.escaped else str(line) for line in value)

    def clean(self, value: Any) -> list[Any]:
        lines = [line.strip("\r") for line in str(value or "").split("\n")]
        lines = [_unescape(line) for line in lines if line.strip()] if self.escaped else [line.strip() for line in lines if line.strip()]
        if len(lines) > self.max_lines:
            raise forms.ValidationError(f"At most {self.max_lines} lines.")
        return lines

    def has_changed(self, initial: Any, data: Any) -> bool:
        return list(initial or []) != self.clean(data)


def _escape(line: str) -> str:
    return line.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def _unescape(line: str) -> str:
    return line.replace("\\\\", "\0").replace("\\n", "\n").replace("\\t", "\t").replace("\0", "\\")


class FallbacksField(LinesField):
    """`provider: model`, one a line; stored with the provider's id, so that renaming it breaks nothing."""

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        names = {str(pk): name for pk, name in Provider.objects.values_list("pk", "name")}
        return "\n".join(f"{names.get(choice['provider'], choice['provider'])}: {choice['model']}" for choice in value)

    def clean(self, value: Any) -> list[Any]:
        ids = {name: str(pk) for pk, name in Provider.objects.values_list("pk", "name")}
        return [_fallback(line, ids) for line in super().clean(value)]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.prepare_value(initial or []) != str(data or "").strip())


def _fallback(line: str, ids: Mapping[str, str]) -> dict[str, str]:
    provider, _, model = (piece.strip() for piece in line.partition(":"))
    if not model:
        raise forms.ValidationError(f"“{line}” is not like “provider: model”.")
    if provider not in ids:
        raise forms.ValidationError(f"There is no provider “{provider}”. There are: {', '.join(sorted(ids)) or 'none'}.")
    return {"provider": ids[provider], "model": model}


class ReadableJSONField(forms.JSONField):
    """JSON, shown indented."""

    def __init__(self, *, rows: int = 6, **options: Any) -> None:
        options.setdefault("required", False)
        super().__init__(widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": rows, **MONOSPACE}), **options)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, str) or value is None:
            return super().prepare_value(value) if value is not None else ""
        return json.dumps(value, indent=2, ensure_ascii=False)


class SuggestingInput(widgets.UnfoldAdminTextInputWidget):  # type: ignore[misc]  # unfold is untyped
    """A text box that offers values it knows, and takes any other."""

    template_name = "admin/agents/suggesting.html"

    def __init__(self, suggestions: Sequence[tuple[str, str]], attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs)
        self.suggestions = suggestions

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, {**(attrs or {}), "list": f"{name}-list", "autocomplete": "off"})
        context["suggestions"] = self.suggestions
        return context
