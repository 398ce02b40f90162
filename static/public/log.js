// The conversation on the page. HTML comes rendered and sanitised from the server; everything else is text.

import { icon, made } from "../shared/dom.js";
import { dressed } from "../shared/dressing.js";

const TOOL_ICON = "M14.5 6.5a4 4 0 0 0-5 5L4 17v3h3l5.5-5.5a4 4 0 0 0 5-5L15 12l-3-3z";

export class Log {
    constructor(list, avatar) {
        this.list = list;
        this.avatar = avatar;
    }

    get isEmpty() {
        return !this.list.children.length;
    }

    clear() {
        this.list.replaceChildren();
    }

    // A visitor's message; one that is only asked again is not shown twice.
    ask(text) {
        const last = this.list.lastElementChild;
        if (last?.dataset.role === "user" && last.dataset.text === text) return last;
        const item = this.#item("user", "You");
        item.dataset.text = text;
        item.append(made("p", "bubble", text));
        return item;
    }

    answer() {
        return new Answer(this.#item("assistant", document.body.dataset.name), this.avatar);
    }

    // Stored messages, oldest first.
    show(messages) {
        for (const message of messages) {
            if (message.role === "user") this.ask(message.content);
            else this.answer().store(message);
        }
    }

    #item(role, author) {
        const item = made("li", `entry ${role}`);
        item.dataset.role = role;
        item.append(made("span", "unseen", `${author}:`));
        this.list.append(item);
        return item;
    }
}

export class Answer {
    #texts = new Map();
    #tools = new Map();

    constructor(item, avatar) {
        this.item = item;
        const picture = made("span", "avatar", avatar);
        picture.setAttribute("aria-hidden", "true");
        this.body = made("div", "body");
        item.append(picture, this.body);
    }

    get text() {
        return [...this.#texts.values()].map((part) => part.textContent).join("\n\n").trim();
    }

    store({ parts, content, incomplete }) {
        parts.forEach((part, number) => {
            if (part.type === "text") {
                this.#text(number).innerHTML = part.html;
                dressed(this.#text(number));
            } else {
                this.tool({ id: number, name: part.name, ok: part.ok ?? true });
            }
        });
        if (!parts.length && content) this.body.append(made("p", "plain", content));
        if (incomplete) this.note("This answer is incomplete.");
    }

    begin() {
        this.item.setAttribute("aria-busy", "true");
        this.waiting = made("span", "dots");
        this.waiting.setAttribute("aria-hidden", "true");
        this.waiting.append(made("i"), made("i"), made("i"));
        this.body.append(this.waiting);
    }

    // The HTML of one text from its block number `from` on.
    rendered({ block, from, html }) {
        const text = this.#text(block);
        while (text.children.length > from) text.lastElementChild.remove();
        for (const piece of html) {
            const part = made("div");
            part.innerHTML = piece;
            dressed(part);
            text.append(part);
        }
    }

    tool({ id, name, ok }) {
        const chip = this.#tools.get(id) ?? this.#chip(id, name);
        chip.classList.toggle("running", ok === null);
        chip.classList.toggle("failed", ok === false);
        chip.title = ok === null ? "Running" : ok ? "Done" : "Failed";
    }

    note(text) {
        this.body.append(made("p", "note", text));
    }

    // `calm`: nothing went wrong.
    problem(text, again, calm = false) {
        const problem = made("div", calm ? "problem calm" : "problem");
        problem.append(made("p", "", text));
        if (again) {
            const button = made("button", "quiet again", "Try again");
            button.type = "button";
            button.addEventListener("click", again);
            problem.append(button);
        }
        this.body.append(problem);
    }

    restart() {
        this.#texts.clear();
        this.#tools.clear();
        this.body.replaceChildren(...(this.waiting ? [this.waiting] : []));
    }

    end() {
        this.item.removeAttribute("aria-busy");
        this.waiting?.remove();
        this.waiting = undefined;
    }

    get isBlank() {
        return !this.body.children.length;
    }

    remove() {
        this.item.remove();
    }

    #text(block) {
        if (!this.#texts.has(block)) {
            const text = made("div", "text");
            this.#texts.set(block, text);
            this.#put(text);
        }
        return this.#texts.get(block);
    }

    #chip(id, name) {
        const chip = made("p", "tool");
        chip.append(icon(TOOL_ICON), made("span", "", name.replaceAll("_", " ")));
        this.#tools.set(id, chip);
        this.#put(chip);
        return chip;
    }

    #put(part) {
        if (this.waiting) this.waiting.before(part);
        else this.body.append(part);
    }
}
