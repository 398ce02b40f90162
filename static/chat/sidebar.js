// The list of conversations with all agents, newest first, by day; searched, and loaded page by page.

import * as api from "./api.js";
import { button, made } from "../shared/dom.js";
import { day } from "./format.js";

const PAGE = 30;
const TYPING_MS = 250;
const DOTS = ["M5 12h.01M12 12h.01M19 12h.01"];

// The conversations with one agent, a page at a time.
class Shelf {
    constructor(agent, search) {
        Object.assign(this, { agent, search, rows: [], before: null, over: false });
    }

    // Makes sure that one more is there, if there is one more.
    async fill(at) {
        while (this.rows.length <= at && !this.over) {
            const query = new URLSearchParams({ limit: PAGE, ...(this.search && { q: this.search }), ...(this.before && { before: this.before }) });
            const response = await api.request("GET", `/api/agents/${this.agent.name}/chat/sessions?${query}`);
            const { sessions } = await response.json();
            this.rows.push(...sessions);
            const next = response.headers.get("link")?.match(/[?&]before=([0-9a-f-]+)/)?.[1];
            this.over = !next;
            this.before = next ?? null;
        }
    }
}

export class Sidebar {
    #shelves = [];
    #timer = 0;
    #asked = 0;
    #end = new IntersectionObserver((seen) => { if (seen.at(-1).isIntersecting) this.more(); }, { rootMargin: "200px" });

    // `acts`: open(row), menu(row, button).
    constructor(nav, field, acts) {
        Object.assign(this, { nav, field, acts, agents: [], shown: [], current: null, wanted: PAGE });
        field.addEventListener("input", () => {
            clearTimeout(this.#timer);
            this.#timer = setTimeout(() => this.refresh({ first: true }), TYPING_MS);
        });
    }

    // Reads the list anew, as long as it is shown now; `first`: from the first page; `name`: something changed with this agent alone.
    async refresh({ first = false, name = null } = {}) {
        const asked = ++this.#asked;
        if (first) this.wanted = PAGE;
        const search = this.field.value.trim();
        const kept = (agent) => name && agent.name !== name && this.#shelves.find((shelf) => shelf.agent === agent && shelf.search === search);
        const shelves = this.agents.map((agent) => kept(agent) || new Shelf(agent, search));
        let rows;
        try {
            rows = await merged(shelves, this.wanted);
        } catch {
            return; // the list stays as it is; the connection says what is the matter
        }
        if (asked !== this.#asked) return;
        this.#shelves = shelves;
        this.shown = rows;
        this.render(search);
    }

    async more() {
        this.wanted += PAGE;
        const asked = ++this.#asked;
        let rows;
        try {
            rows = await merged(this.#shelves, this.wanted);
        } catch {
            return; // as above
        }
        if (asked !== this.#asked) return;
        this.shown = rows;
        this.render(this.field.value.trim());
    }

    mark(id) {
        this.current = id;
        for (const link of this.nav.querySelectorAll("a")) {
            if (link.dataset.id === id) link.setAttribute("aria-current", "page");
            else link.removeAttribute("aria-current");
        }
    }

    render(search) {
        const focused = document.activeElement?.closest?.("#sessions a")?.dataset.id;
        const parts = [];
        let heading = "";
        let list = null;
        for (const row of this.shown) {
            const here = day(row.last_message_at);
            if (here !== heading) {
                heading = here;
                list = made("ul");
                parts.push(made("h2", "", heading), list);
            }
            list.append(this.#item(row));
        }
        if (!parts.length) parts.push(made("p", "note", search ? "Nothing was found." : "Your conversations will be listed here."));
        this.#end.disconnect();
        if (this.#shelves.some((shelf) => !shelf.over || shelf.rows.length > shelf.taken)) parts.push(this.#further());
        this.nav.replaceChildren(...parts);
        this.mark(this.current);
        if (focused) this.nav.querySelector(`a[data-id="${CSS.escape(focused)}"]`)?.focus();
    }

    // Comes by itself to whoever scrolls that far.
    #further() {
        const further = button("Load more", () => this.more(), { name: "quiet" });
        this.#end.observe(further);
        return further;
    }

    #item(row) {
        const item = made("li");
        const agent = this.agents.find(({ name }) => name === row.agent_name);
        const link = made("a");
        link.href = `/?agent=${encodeURIComponent(row.agent_name)}&session=${row.id}`;
        link.dataset.id = row.id;
        link.title = row.title;
        const picture = made("span", "mini", agent?.avatar || (agent?.display_name ?? row.agent_name).charAt(0).toUpperCase());
        picture.setAttribute("aria-hidden", "true");
        picture.title = agent?.display_name ?? row.agent_name;
        link.append(picture, made("span", "name", row.title || "New conversation"));
        link.addEventListener("click", (event) => {
            if (event.metaKey || event.ctrlKey || event.shiftKey) return;
            event.preventDefault();
            this.acts.open(row);
        });
        item.append(link, button(`More about ${row.title || "this conversation"}`, (event) => this.acts.menu(row, event.currentTarget), { name: "bare small", picture: DOTS, title: "More" }));
        return item;
    }
}

// The newest of all shelves.
async function merged(shelves, wanted) {
    await Promise.all(shelves.map((shelf) => shelf.fill(0)));
    for (const shelf of shelves) shelf.taken = 0;
    const rows = [];
    while (rows.length < wanted) {
        const best = shelves.filter((shelf) => shelf.rows[shelf.taken]).sort((a, b) => (a.rows[a.taken].last_message_at < b.rows[b.taken].last_message_at ? 1 : -1))[0];
        if (!best) break;
        rows.push(best.rows[best.taken]);
        best.taken += 1;
        await best.fill(best.taken);
    }
    return rows;
}
