// What a user said: as it was typed, with its files; copied, edited, or shown in another version.

import { button, icon, made } from "../shared/dom.js";
import { switcher } from "./switcher.js";

const COPY = ["M9 9h10v10H9z", "M5 15V5h10"];
const EDIT = ["M4 20h4L19 9l-4-4L4 16z"];
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
        if (text) this.column.append(made("p", "bubble", text));
        const bar = made("div", "actions");
        if (others) bar.append(switcher("version", others, this.acts.choose));
        if (text) bar.append(button("Copy", (event) => this.acts.copy(text, event.currentTarget), { name: "bare small", picture: COPY }));
        if (node) bar.append(button("Edit", () => this.edit(), { name: "bare small edit", picture: EDIT }));
        this.column.append(bar);
    }

    edit() {
        if (this.editing || !this.node) return;
        this.editing = true;
        const form = made("form", "editor");
        const box = made("textarea");
        box.value = this.text;
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
        const place = made(url ? "a" : "span", "file");
        if (url) Object.assign(place, { href: url, download: name });
        if (url && mimetype?.startsWith("image/")) {
            const picture = made("img");
            Object.assign(picture, { src: url, alt: name, loading: "lazy" });
            place.append(picture);
            place.className = "picture";
        } else {
            place.append(icon(FILE), made("span", "", name));
        }
        item.append(place);
        list.append(item);
    }
    return list;
}
