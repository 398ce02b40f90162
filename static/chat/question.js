// What a user said: as it was typed, with its files; copied, edited, or shown in another version.

import { button, icon, made } from "../shared/dom.js";
import { view } from "./dialogs.js";
import { switcher } from "./switcher.js";

const COPY = ["M9 9h10v10H9z", "M5 15V5h10"];
const EDIT = ["M4 20h4L19 9l-4-4L4 16z"];
const LONG = 1500;
const LONG_LINES = 20;
const FILE = "M6 3h8l4 4v14H6zM14 3v4h4";

export class Question {
    constructor(acts) {
        this.acts = acts;
        this.element = made("li", "entry user");
        this.element.append(made("span", "unseen", "You:"));
        this.column = made("div", "column");
        this.element.append(this.column);
    }

    // `node` null: it is on its way. `others`: other texts that could stand here.
    show({ text, files }, node = null, others = null) {
        const shown = JSON.stringify([text, files, node?.id, others?.at, others?.list.length]);
        if (this.editing || shown === this.shown) return;
        this.shown = shown;
        this.node = node;
        this.text = text;
        this.files = files;
        this.column.replaceChildren();
        if (files.length) this.column.append(attached(files));
        if (text) this.#bubble(text);
        const bar = made("div", "actions");
        if (others) bar.append(switcher("version", others, this.acts.choose));
        if (text) bar.append(button("Copy", (event) => this.acts.copy(text, event.currentTarget), { name: "bare small", picture: COPY }));
        if (node) bar.append(button("Edit", () => this.edit(), { name: "bare small edit", picture: EDIT }));
        this.column.append(bar);
    }

    // A long text is folded once it was sent; it may be opened.
    #bubble(text) {
        const bubble = made("p", "bubble", text);
        this.column.append(bubble);
        if (text.length < LONG && text.split("\n").length < LONG_LINES) return;
        bubble.classList.toggle("folded", !this.unfolded);
        const more = button(this.unfolded ? "Show less" : "Show all", () => {
            this.unfolded = !bubble.classList.toggle("folded");
            more.textContent = this.unfolded ? "Show less" : "Show all";
            more.setAttribute("aria-expanded", String(this.unfolded));
        }, { name: "bare small" });
        more.setAttribute("aria-expanded", String(Boolean(this.unfolded)));
        this.column.append(more);
    }

    edit() {
        if (this.editing || !this.node) return;
        this.editing = true;
        const form = made("form", "editor");
        const box = made("textarea");
        box.value = this.text;
        box.dir = "auto";
        box.setAttribute("aria-label", "Edit your message");
        const buttons = made("div", "buttons");
        const send = button("Send", () => form.requestSubmit(), { name: "first" });
        buttons.append(button("Cancel", () => this.#leave(), { name: "quiet" }), send);
        form.append(box, buttons);
        this.column.replaceChildren(form);
        const grow = () => {
            box.style.height = "auto";
            box.style.height = `${box.scrollHeight + 2}px`;
            send.disabled = !box.value.trim();
        };
        box.addEventListener("input", grow);
        box.addEventListener("keydown", (event) => {
            if (event.key === "Escape") this.#leave(event);
            if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            form.requestSubmit();
        });
        form.addEventListener("submit", (event) => {
            event.preventDefault();
            if (!box.value.trim()) return;
            const { node, files } = this;
            const text = box.value;
            this.#leave();
            this.acts.edit(node, text, files);
        });
        grow();
        box.focus();
        box.setSelectionRange(box.value.length, box.value.length);
    }

    #leave(event) {
        event?.stopPropagation();
        this.editing = false;
        this.shown = null;
        this.acts.left();
    }
}

export function attached(files) {
    const list = made("ul", "attached");
    for (const { name, url, mimetype } of files) {
        const item = made("li");
        if (url && mimetype?.startsWith("image/")) {
            item.append(picture(name, url));
        } else {
            const place = made(url ? "a" : "span", "file");
            if (url) Object.assign(place, { href: url, download: name });
            place.append(icon(FILE), made("span", "name", name));
            item.append(place);
        }
        list.append(item);
    }
    return list;
}

// Small here, and as large as the window allows when it is pressed.
function picture(name, url) {
    const small = button(`Show ${name}`, () => view(name, url), { name: "picture" });
    const image = made("img");
    Object.assign(image, { src: url, alt: name, loading: "lazy" });
    small.replaceChildren(image);
    small.setAttribute("aria-label", `Show ${name}`);
    return small;
}
