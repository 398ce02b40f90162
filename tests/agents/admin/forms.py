"""What a browser would post: the page's own form, with some fields changed."""

from html.parser import HTMLParser
from typing import Any

from django.test import Client


class _Fields(HTMLParser):
    """Names and values of the controls of one form (by id), as a browser sends them."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form, self.inside, self.fields = form, False, {}
        self.select: str | None = None
        self.area: str | None = None

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = dict(attrs)
        if tag == "form":
            self.inside = given.get("id") == self.form
        elif self.inside and tag == "input" and given.get("name"):
            self._input(given)
        elif self.inside and tag == "select":
            self.select = given.get("name")
        elif self.inside and tag == "option" and self.select and "selected" in given:
            self.fields.setdefault(self.select, []).append(given.get("value", ""))
        elif self.inside and tag == "textarea":
            self.area = given.get("name")
            self.fields[self.area] = [""]

    def _input(self, given: dict[str, Any]) -> None:
        if given.get("type") in ("checkbox", "radio") and "checked" not in given:
            return
        if given.get("type") not in ("submit", "file"):
            self.fields.setdefault(given["name"], []).append(given.get("value") or ("on" if given.get("type") == "checkbox" else ""))

    def handle_data(self, data: str) -> None:
        if self.area:
            self.fields[self.area][0] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self.area:
            self.fields[self.area][0] = self.fields[self.area][0].removeprefix("\r\n").removeprefix("\n")
            self.area = None
        elif tag == "select":
            self.select = None


def fields_in(html: str, form: str) -> dict[str, list[str]]:
    """The fields of the form of that id, without the empty rows kept for adding."""
    parser = _Fields(form)
    parser.feed(html)
    assert parser.fields, f"there is no form {form}"
    return {name: values for name, values in parser.fields.items() if "__prefix__" not in name}


def submit(client: Client, url: str, form: str, /, **changes: Any) -> Any:
    """Posts the form of the page with `changes`; None takes a field out (an unticked box). Follows the redirect."""
    data: dict[str, Any] = {**fields_in(client.get(url).content.decode(), form), **changes}
    return client.post(url, {name: value for name, value in data.items() if value is not None}, follow=True)


def said(response: Any) -> str:
    """The messages of the page that followed."""
    return " | ".join(str(message) for message in response.context["messages"])
