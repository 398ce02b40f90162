// One answer: its texts, thoughts, tools, approvals, sources and end, live or as stored.
// HTML comes rendered and sanitised from our own server (chat/rendering.py); everything else is text.

import { button, icon, made } from "../shared/dom.js";
import { dressed } from "../shared/dressing.js";
import { cost, duration } from "./format.js";
import { switcher } from "./switcher.js";
import { Tool } from "./tool.js";

const COPY = ["M9 9h10v10H9z", "M5 15V5h10"];
const AGAIN = ["M4 12a8 8 0 0 1 14-5.3L20 9M20 4v5h-5M20 12a8 8 0 0 1-14 5.3L4 15m0 5v-5h5"];
const UP = ["M7 11v9H4v-9zM7 11l4-8a2 2 0 0 1 2 2v4h5.5a1.5 1.5 0 0 1 1.5 1.8l-1.3 7A1.5 1.5 0 0 1 17.2 20H7"];
const DOWN = ["M7 13V4H4v9zM7 13l4 8a2 2 0 0 0 2-2v-4h5.5a1.5 1.5 0 0 0 1.5-1.8l-1.3-7A1.5 1.5 0 0 0 17.2 4H7"];
const UNPAINTED_MS = 400;
const ENDS = { cancelled: "This answer was stopped.", failed: "This answer could not be finished." };

export class Answer {
    #texts = new Map();
    #tools = new Map();
    #thoughts = null;
    #unpainted = "";
    #timer = 0;

    // `acts`: what its buttons do (again, copied, rate, decide, choose).
    constructor(agent, acts) {
        this.acts = acts;
        this.isLive = false;
        this.whole = false;
        this.text = "";
        this.node = null;
        this.element = made("li", "entry assistant");
        const picture = made("span", "avatar", agent.avatar || agent.display_name.charAt(0).toUpperCase());
        picture.setAttribute("aria-hidden", "true");
        this.body = made("div", "body");
        this.foot = made("div", "foot");
        const column = made("div", "column");
        column.append(made("span", "unseen", `${agent.display_name}:`), this.body, this.foot);
        this.element.append(picture, column);
    }

    // Live

    begin(sentence = "") {
        this.reset();
        this.isLive = this.whole = true;
        this.element.setAttribute("aria-busy", "true");
        this.element.classList.add("writing");
        this.waiting = made("p", "waiting");
        const dots = made("span", "dots");
        dots.setAttribute("aria-hidden", "true");
        dots.append(made("i"), made("i"), made("i"));
        this.waiting.append(dots, made("span", "sentence", sentence));
        this.body.append(this.waiting);
        this.foot.replaceChildren();
    }

    waits(sentence) {
        const place = this.waiting?.querySelector(".sentence");
        if (place) place.textContent = sentence;
    }

    reset() {
        clearTimeout(this.#timer);
        this.#texts.clear();
        this.#tools.clear();
        this.#thoughts = null;
        this.#unpainted = this.text = "";
        this.body.replaceChildren(...(this.waiting ? [this.waiting] : []));
    }

    // A frame of its run. False: something is missing, it must be told anew.
    hear(frame) {
        switch (frame.type) {
            case "chunk": this.#chunk(frame); break;
            case "rendered": return this.#rendered(frame);
            case "tool_call": this.#settle(); this.#tool(frame.tool_call_id, frame.name).called(frame.args); break;
            case "tool_result": this.#tool(frame.tool_call_id, frame.name).returned(frame); break;
            case "approval_request": this.#tool(frame.tool_call_id, frame.name).asks(frame, this.acts.decide); break;
            case "approval_resolved": this.#tool(frame.tool_call_id, "").decided(frame); break;
            case "message": this.#final(frame); break;
            case "error": this.problem(frame.message); break;
            case "gap": this.#gap(frame); break;
            case "session": this.#session(frame); break;
            default: break;
        }
        return true;
    }

    #chunk({ content, done, thinking, content_type: kind }) {
        if (done || kind !== "text") return;
        this.#moves();
        if (thinking) return this.#think(content);
        this.#settle();
        this.text += content;
        this.#unpainted += content;
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#showRaw(), UNPAINTED_MS);
    }

    // The HTML of one text from its piece number `from` on. Two answers with the same blocks are told apart by their order.
    #rendered({ block, from, html }) {
        clearTimeout(this.#timer);
        this.#unpainted = "";
        const text = this.#textOf(block);
        text.querySelector(":scope > .raw")?.remove();
        if (text.children.length < from) return false;
        while (text.children.length > from) text.lastElementChild.remove();
        for (const piece of html) {
            const part = made("div");
            part.innerHTML = piece;
            dressed(part);
            text.append(part);
        }
        return true;
    }

    // Text that the server did not render in time is shown as it is.
    #showRaw() {
        const text = [...this.#texts.values()].at(-1) ?? this.#textOf(0);
        text.querySelector(":scope > .raw")?.remove();
        if (this.#unpainted) text.append(made("div", "raw", this.#unpainted));
    }

    #think(content) {
        if (!this.#thoughts) {
            this.#thoughts = thoughts("Thinking …");
            this.#thoughts.since = performance.now();
            this.#put(this.#thoughts.element);
        }
        this.#thoughts.text.textContent += content;
    }

    // Thinking is over once something else comes.
    #settle() {
        if (!this.#thoughts) return;
        this.#thoughts.title.textContent = `Thought for ${duration(performance.now() - this.#thoughts.since)}`;
        this.#thoughts = null;
    }

    #moves() {
        this.waits("");
        this.element.classList.remove("paused");
    }

    #final({ content, status, sources = [] }) {
        if (typeof content === "string" && content !== this.text.trim() && !this.#texts.size) this.whole = false;
        if (sources.length) this.#sources(sources);
        if (status === "incomplete") this.incomplete = true;
    }

    #gap({ restart }) {
        if (restart) return this.begin();
        this.whole = false;
        this.#put(made("p", "note", "Some live text was missed; it will be there at the end."));
        return undefined;
    }

    #session({ event, status, message, queue_position: position }) {
        if (event === "started" || event === "resumed") this.#moves();
        if (event === "paused") {
            this.element.classList.add("paused");
            this.waits(message || "Waiting for approval");
        }
        if (event === "accepted" && status === "queued") this.waits(position > 1 ? `Waiting: ${position - 1} before it` : "Waiting for its turn");
        if (event === "finished") this.#end(status);
    }

    #end(status) {
        this.#settle();
        if (this.#unpainted) this.whole = false;
        this.stopWaiting();
        for (const tool of this.#tools.values()) tool.ended();
        if (status === "cancelled" && !this.body.querySelector(":scope > .problem")) this.problem(ENDS.cancelled, true);
    }

    stopWaiting() {
        clearTimeout(this.#timer);
        this.isLive = false;
        this.element.removeAttribute("aria-busy");
        this.element.classList.remove("writing", "paused");
        this.waiting?.remove();
        this.waiting = undefined;
    }

    // Stored

    // The message, or the question of a turn that ended without one; `others`: answers that could stand here.
    store(node, { run = node.run, others = null } = {}) {
        if (this.isLive) return;
        const answered = node.role === "assistant";
        if (!this.whole && this.shown !== JSON.stringify(node.parts)) this.#rebuild(answered ? node.parts : []);
        if (!this.whole) this.#told(run, answered && node.incomplete);
        this.node = answered ? node : null;
        this.shown = answered ? JSON.stringify(node.parts) : "";
        if (answered) this.text = node.content;
        if (run?.status === "failed") this.#details(node.execution_id);
        this.#actions(node, run, others);
    }

    // Operators may read what a provider really said (`data-runs`: where, for staff).
    #details(executionId) {
        const problem = this.body.querySelector(":scope > .problem");
        const { runs } = document.body.dataset;
        if (!problem || !runs || !this.acts.manages || problem.querySelector("a")) return;
        const link = made("a", "", "Details");
        link.href = `${runs}${executionId}/change/`;
        problem.append(link);
    }

    #rebuild(parts) {
        this.reset();
        parts.forEach((part, number) => {
            if (part.type === "text") {
                const text = this.#textOf(`stored ${number}`);
                text.innerHTML = part.html;
                dressed(text);
            } else if (part.type === "reasoning") {
                const folded = thoughts("Thoughts");
                folded.text.textContent = part.text;
                this.#put(folded.element);
            } else if (part.type === "tool") {
                const tool = this.#tool(part.id, part.tool);
                tool.called(part.input);
                if (part.success !== null) tool.returned({ ok: part.success, result: part.output, error: part.output, duration_ms: part.duration_ms });
                else tool.ended();
            }
        });
        this.#sources(parts.filter(({ type }) => type === "source"));
    }

    #told(run, incomplete) {
        for (const old of this.body.querySelectorAll(":scope > .problem")) old.remove();
        if (run && ENDS[run.status]) this.problem(run.error || ENDS[run.status], run.status === "cancelled");
        else if (incomplete) this.problem("This answer is incomplete.", true);
    }

    // What is the same as before stays, so that a button keeps the focus.
    #actions(node, run, others) {
        const shown = JSON.stringify([node.id, this.text, node.rating, node.incomplete, others?.list.map(({ id }) => id), others?.at, run, node.cost]);
        if (this.foot.firstChild && this.footing === shown) return;
        this.footing = shown;
        const bar = made("div", "actions");
        const { acts } = this;
        if (this.text) bar.append(button("Copy", (event) => acts.copy(this.text, event.currentTarget), { name: "bare small", picture: COPY }));
        const isWhole = node.role === "assistant" && !node.incomplete;
        if (isWhole) bar.append(button("Answer again", () => acts.again(node), { name: "bare small", picture: AGAIN }));
        if (node.role === "assistant") bar.append(this.#thumb("Good answer", 1, UP), this.#thumb("Bad answer", -1, DOWN));
        if (!isWhole) bar.append(button("Try again", () => acts.again(node), { name: "quiet" }));
        if (others) bar.append(switcher("answer", others, acts.choose));
        bar.append(made("span", "meta", meta(node, run)));
        this.foot.replaceChildren(bar);
    }

    #thumb(label, rating, picture) {
        const { node } = this;
        const thumb = button(label, () => this.acts.rate(node, node.rating === rating ? null : rating), { name: "bare small thumb", picture });
        thumb.setAttribute("aria-pressed", String(node.rating === rating));
        return thumb;
    }

    // `calm`: nothing went wrong.
    problem(text, calm = false, again = null) {
        const problem = made("div", calm ? "problem calm" : "problem");
        problem.append(made("p", "", text));
        if (again) problem.append(button("Try again", again, { name: "quiet" }));
        this.#put(problem);
    }

    #sources(sources) {
        if (!sources.length) return;
        this.body.querySelector(":scope > .sources")?.remove();
        const list = made("ol", "sources");
        list.setAttribute("aria-label", "Sources");
        for (const { title, url } of sources) {
            const item = made("li");
            if (/^https?:\/\//i.test(url ?? "")) {
                const link = made("a", "", title || url);
                Object.assign(link, { href: url, target: "_blank", rel: "noopener noreferrer nofollow" });
                item.append(link);
            } else {
                item.textContent = title || url || "Source";
            }
            list.append(item);
        }
        this.#put(list);
    }

    #tool(id, name) {
        if (!this.#tools.has(id)) {
            const tool = new Tool(name);
            this.#tools.set(id, tool);
            this.#put(tool.element);
        }
        return this.#tools.get(id);
    }

    #textOf(block) {
        if (!this.#texts.has(block)) {
            const text = made("div", "text");
            this.#texts.set(block, text);
            this.#put(text);
        }
        return this.#texts.get(block);
    }

    #put(part) {
        if (this.waiting?.parentNode === this.body) this.waiting.before(part);
        else this.body.append(part);
    }
}

function thoughts(title) {
    const element = made("details", "thoughts");
    const head = made("summary");
    const name = made("span", "", title);
    const text = made("div", "plain");
    head.append(icon("M9.5 18h5M10 21h4M8.5 15a6 6 0 1 1 7 0V16h-7z"), name);
    element.append(head, text);
    return { element, title: name, text };
}

function meta(node, run) {
    const tokens = (run?.input_tokens ?? 0) + (run?.output_tokens ?? node.output_tokens ?? 0);
    const told = [duration(node.execution_time_ms), tokens ? `${tokens.toLocaleString("en")} tokens` : "", cost(node.cost)];
    return told.filter(Boolean).join(" · ");
}
