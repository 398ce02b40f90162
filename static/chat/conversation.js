// The conversation that is open: its messages as a tree, the runs that go on in it, what is on its way, and all of it on the page.

import * as api from "./api.js";
import { place } from "../shared/dom.js";
import { Answer } from "./answer.js";
import { copy } from "../shared/clipboard.js";
import { Question } from "./question.js";
import { Tree, variants } from "./tree.js";

const PAGE = 100;
const NEAR_PX = 100;
const SOON_MS = 60;
const REQUEST_ERRORS = ["request", "connection"];

export class Conversation {
    #timer = 0;
    #cursor = { executionId: null, seq: 0 };

    // `page`: the elements, the socket, and what is told of changes (changed, named, gone, rate, say, speak, warn).
    constructor(page) {
        this.page = page;
        this.list = page.log;
        this.pinned = true;
        page.scroll.addEventListener("scroll", () => {
            this.pinned = this.#isNear();
            page.latest.hidden = this.pinned;
        }, { passive: true });
        const top = new IntersectionObserver(([{ isIntersecting }]) => { if (isIntersecting && !this.pinned) this.earlier(); }, { root: page.scroll });
        top.observe(page.earlier);
        const sizes = new ResizeObserver(() => this.follow());
        sizes.observe(this.list);
        sizes.observe(page.scroll);
        this.#blank(null, null);
    }

    #blank(agent, id) {
        clearTimeout(this.#timer);
        Object.assign(this, { agent, id, exists: !id, title: "", more: false, tree: new Tree(), pending: [], answers: new Map(), questions: new Map() });
        this.#cursor = { executionId: null, seq: 0 };
        this.pinned = true;
        this.list.replaceChildren();
    }

    // Opens a stored conversation with the agent, or none yet.
    async open(agent, id) {
        if (this.id && this.id !== id) this.page.socket.send({ type: "detach", thread_id: this.id });
        this.putAside();
        this.#blank(agent, id);
        if (id) {
            await this.load();
            this.attach();
            this.follow(true);
        }
        this.page.changed();
    }

    // What waits for the connection is kept as a draft when the conversation, or the page, is left.
    putAside() {
        const unsent = this.pending.filter((one) => !one.executionId && one.overSocket === undefined);
        if (unsent.length) this.page.unsent(this.id ?? `new-${this.agent.name}`, unsent.map(({ text }) => text).join("\n\n"));
    }

    get isEmpty() {
        return !this.tree.nodes.size && !this.pending.length;
    }

    // The newest run that goes on here, as its answer.
    get running() {
        return [...this.answers.values()].findLast((answer) => answer.isLive) ?? null;
    }

    // Reading

    async load() {
        const { id } = this;
        const { session, messages, more } = await this.#page();
        if (id !== this.id) return;
        this.exists = true;
        if (!this.tree.take(messages)) this.more = more;
        this.pending = this.pending.filter((one) => !this.#arrived(one));
        this.title = session.title;
        this.render();
        this.page.changed();
    }

    // The newest messages of all branches, or those before another.
    async #page(before = null) {
        const { agent, id } = this;
        const query = new URLSearchParams({ branch: "all", render: "html", limit: PAGE, ...(before && { before }) });
        const response = await api.request("GET", `/api/agents/${agent.name}/chat/sessions/${id}?${query}`);
        return { ...(await response.json()), more: Boolean(response.headers.get("link")) };
    }

    // What is on its way and has its place in the conversation by now keeps its elements.
    #arrived(one) {
        const said = [...this.tree.nodes.values()].filter(({ role }) => role === "user");
        const node = said.find(({ id, execution_id: run }) => id === one.messageId || (run && run === one.executionId)) ?? said.find((each) => isIt(one, each.id, each.content));
        if (!node) return false;
        this.#bind(one, node.execution_id);
        this.questions.set(node.id, one.question);
        return true;
    }

    // The run of a message that is on its way is known now; what it says belongs to the answer that waits here.
    #bind(one, executionId) {
        one.executionId = executionId;
        const told = this.answers.get(executionId);
        if (told) one.answer = told;
        else this.answers.set(executionId, one.answer);
    }

    // What is read stays where it is on the screen.
    async earlier() {
        const { id, page } = this;
        if (!this.more || this.reading) return;
        this.reading = true;
        try {
            const { messages, more } = await this.#page(this.tree.first.id);
            if (id !== this.id) return;
            this.tree.precede(messages);
            this.more = more;
            this.pinned = false;
            const below = page.scroll.scrollHeight - page.scroll.scrollTop;
            this.render();
            page.scroll.scrollTop = page.scroll.scrollHeight - below;
        } catch (error) {
            page.warn(error.message);
        } finally {
            this.reading = false;
        }
    }

    // Reads again soon, once for many reasons.
    refresh() {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#readAgain(this.id), SOON_MS);
    }

    async #readAgain(id) {
        if (!id || !this.exists) return; // it was left meanwhile, or its address may lead nowhere
        try {
            await this.load();
        } catch (error) {
            if (error.status === 404 && id === this.id) this.page.gone();
        }
    }

    // Watches the conversation; of the run that was heard last only what is new is told (WS-72).
    attach() {
        if (!this.id || !this.exists) return; // an address may lead nowhere
        const { executionId, seq } = this.#cursor;
        const known = executionId && this.answers.get(executionId)?.isLive ? { execution_id: executionId, after: seq } : {};
        this.page.socket.send({ type: "attach", thread_id: this.id, ...known });
    }

    // Frames of the socket

    reconnected() {
        this.attach();
        if (this.id) this.refresh();
        this.#deliver();
    }

    hear(frame) {
        if (frame.type === "session" && frame.event === "accepted") return this.#accepted(frame);
        if (frame.type === "error" && !frame.execution_id) return this.#refused(frame);
        if (frame.thread_id !== this.id) return undefined;
        if (frame.type === "session" && !frame.execution_id) return this.#told(frame);
        if (frame.type === "message" && frame.role === "user") return this.#said(frame);
        return frame.execution_id ? this.#run(frame) : undefined;
    }

    // What was said elsewhere, or here over HTTP.
    #said({ id, content, execution_id: executionId }) {
        const text = typeof content === "string" ? content : content.filter(({ type }) => type === "text").map((part) => part.text).join("\n\n");
        const one = this.pending.find((each) => !each.executionId && isIt(each, id, text));
        if (one) this.#bind(one, executionId);
        this.refresh();
    }

    #told(frame) {
        if (frame.event === "attached") return this.#attached(frame);
        if (frame.event === "updated" || frame.event === "closed") {
            this.title = frame.title ?? this.title;
            return this.page.changed(true);
        }
        if (frame.event === "detached" && frame.reason) return this.page.gone();
        return undefined;
    }

    // Runs that ended while nobody listened are read from storage; others than the last one are told from their beginning.
    #attached({ active }) {
        const going = new Set(active.map(({ execution_id: id }) => id));
        for (const [id, answer] of this.answers) {
            if (!answer.isLive) continue;
            if (!going.has(id)) {
                answer.whole = false;
                answer.stopWaiting();
            } else if (id !== this.#cursor.executionId) {
                answer.begin();
            }
        }
        this.refresh();
    }

    #run(frame) {
        const answer = this.#answerOf(frame.execution_id);
        if (!answer.isLive) {
            if (frame.type === "session" && frame.event === "finished") return this.#finished(frame);
            answer.begin();
            this.render();
            this.page.changed();
        }
        if (frame.seq) this.#cursor = { executionId: frame.execution_id, seq: frame.seq };
        if (!answer.hear(frame)) this.#anew(frame.execution_id);
        if (frame.type === "chunk" && !frame.thinking) this.page.speak(frame.content);
        if (frame.type === "approval_request") this.page.say(frame.message);
        if (frame.type === "session" && frame.event === "finished") this.#finished(frame);
        this.follow();
        if (frame.type === "session") this.page.changed();
        return undefined;
    }

    // The run is told again from its beginning.
    #anew(executionId) {
        this.answers.get(executionId).begin();
        this.page.socket.send({ type: "resume", thread_id: this.id, execution_id: executionId, after: 0 });
    }

    #finished({ status }) {
        this.page.finished(status);
        this.refresh();
    }

    #answerOf(executionId) {
        if (!this.answers.has(executionId)) this.answers.set(executionId, new Answer(this.agent, this.#acts()));
        return this.answers.get(executionId);
    }

    // Sending

    send(text, files) {
        const after = this.tree.isNewest ? null : this.tree.path().at(-1)?.node.id;
        const one = this.#pend({ text, files, cut: null });
        if (after || this.page.socket.state === "blocked") this.#post(one, { message: text, ...(after && { after }) });
        else this.#deliver();
    }

    edit(node, text, files) {
        const one = this.#pend({ text, files: files.filter((file) => file.attachment_id), cut: node.id });
        this.#post(one, { message: text, edit_of: node.id });
    }

    // The question of this answer once more; of a turn that has no answer, its own question.
    again(node) {
        const asked = node.role === "user" ? node : this.tree.path().map((step) => step.node).findLast((each) => each.role === "user" && each.id === node.parent_id);
        if (!asked) return;
        const one = this.#pend({ text: asked.content, files: (asked.files ?? []).filter((file) => file.attachment_id), cut: asked.id });
        const body = node.role === "user" ? { message: asked.content, edit_of: asked.id } : { regenerate_of: node.id };
        this.#post(one, body);
    }

    stop() {
        const executionId = [...this.answers].find(([, answer]) => answer.isLive)?.[0]; // of several the one that is written, not those that wait
        if (!executionId) return;
        if (!this.page.socket.send({ type: "stop", execution_id: executionId })) api.call("POST", `/api/executions/${executionId}/cancel`).catch((error) => this.page.warn(error.message));
    }

    #pend({ text, files, cut }) {
        const one = { key: crypto.randomUUID?.() ?? String(Math.random()).slice(2), text, files, cut, known: new Set(this.tree.nodes.keys()) };
        one.question = new Question(this.#acts());
        one.question.show({ text, files });
        one.answer = new Answer(this.agent, this.#acts());
        one.answer.begin();
        this.pending.push(one);
        this.tree.forgetChoicesBelow(cut);
        this.render();
        this.follow(true);
        this.page.changed();
        return one;
    }

    // Sends what was not accepted yet, one after the other; after a broken connection again, by the same id (WS-25).
    #deliver() {
        const one = this.pending.find((each) => each.overSocket !== false && !each.executionId && !each.failed);
        if (!one || !this.page.socket.isOpen) {
            one?.answer.waits("Waiting for the connection");
            return;
        }
        one.overSocket = true;
        one.answer.waits("");
        const content = [...(one.text ? [{ type: "text", text: one.text }] : []), ...one.files.map((file) => ({ type: "document", document: { asset_id: file.attachment_id } }))];
        this.page.socket.send({ type: "message", id: one.key, content: one.files.length ? content : one.text, thread_id: this.id, agent: this.agent.name });
    }

    #accepted(frame) {
        const one = this.pending.find(({ key }) => key === frame.client_message_id);
        if (!one) return;
        one.messageId = frame.message_id;
        if (!this.id) {
            this.id = frame.session_id;
            this.title = one.text.split(/\s+/).join(" ").slice(0, 80);
            this.page.began();
        }
        this.#bind(one, frame.execution_id);
        one.answer.hear(frame);
        this.#deliver();
        this.render();
        this.page.changed();
    }

    #refused(frame) {
        const one = this.pending.find((each) => each.overSocket && !each.executionId && !each.failed);
        if (one && REQUEST_ERRORS.includes(frame.error_type) && !frame.fatal) this.#fail(one, frame.message);
        else if (!frame.fatal) this.page.warn(frame.message);
    }

    // Edits, repeats and other branches go over HTTP; the socket tells what comes of them. Where sockets are blocked, so does everything.
    async #post(one, body) {
        one.overSocket = false;
        const isBlocked = this.page.socket.state === "blocked";
        if (isBlocked) one.answer.waits("The answer appears when it is finished");
        const { agent } = this;
        const attachments = body.regenerate_of ? {} : { attachments: one.files.map((file) => file.attachment_id) };
        const where = this.id ? { session_id: this.id } : { new_session: true };
        try {
            const response = await api.request("POST", `/api/agents/${agent.name}/chat`, { ...body, ...where, ...attachments, stream: !isBlocked }, { "idempotency-key": one.key });
            this.#bind(one, response.headers.get("x-execution-id"));
            if (!this.id) {
                this.id = response.headers.get("x-session-id");
                this.page.began();
            }
            if (isBlocked) {
                await response.text();
                one.answer.stopWaiting();
                one.answer.whole = false;
            } else {
                response.body.cancel();
            }
            await this.load();
            if (isBlocked) this.page.finished("success");
        } catch (error) {
            if (this.id) await this.load().catch(() => {});
            if (this.pending.includes(one)) this.#fail(one, error.message);
        }
    }

    #fail(one, sentence) {
        one.failed = true;
        one.answer.stopWaiting();
        one.answer.problem(sentence, false, () => {
            this.pending = this.pending.filter((each) => each !== one);
            this.render();
            if (one.cut) this.page.restore(one.text, one.files);
            else this.send(one.text, one.files);
        });
        this.page.say(sentence);
        this.page.changed();
        this.#deliver();
    }

    // Showing

    render() {
        const path = this.tree.path();
        const cut = this.pending.find((one) => one.cut)?.cut;
        const end = cut ? path.findIndex(({ node }) => node.id === cut) : -1;
        const shown = end < 0 ? path : path.slice(0, end);
        const elements = [];
        const placed = new Set();
        let variantsHere = null;
        shown.forEach(({ node, siblings }, number) => {
            if (node.role === "user") {
                variantsHere = siblings.length > 1 ? variants(node, siblings) : null;
                elements.push(this.#questionElement(node, variantsHere));
                const next = shown[number + 1]?.node;
                if (next?.role !== "assistant") this.#unanswered(node, variantsHere, elements, placed);
            } else {
                elements.push(this.#answerElement(node, variantsHere, placed));
            }
        });
        for (const one of this.pending) {
            elements.push(one.question.element, one.answer.element);
            placed.add(one.answer);
        }
        const known = new Set([...this.tree.nodes.values()].map((node) => node.execution_id));
        for (const [id, answer] of this.answers) if (answer.isLive && !placed.has(answer) && !known.has(id)) elements.push(answer.element);
        place(this.list, elements);
        this.page.earlier.hidden = !this.more;
        this.page.earlier.textContent = path[0]?.node.parent_id ? "Load earlier messages" : "Load earlier versions";
        this.follow();
    }

    #questionElement(node, others) {
        if (!this.questions.has(node.id)) this.questions.set(node.id, new Question(this.#acts()));
        const question = this.questions.get(node.id);
        const files = (node.parts ?? []).filter(({ type }) => type === "file");
        question.show({ text: node.content, files }, node, others && others.texts.length > 1 ? { list: others.texts, at: others.text } : null);
        return question.element;
    }

    #answerElement(node, others, placed) {
        const answer = this.#answerOf(node.execution_id ?? node.id);
        placed.add(answer);
        answer.store(node, { others: again(others) });
        return answer.element;
    }

    // A turn whose answer is on its way, or that ended without one.
    #unanswered(node, others, elements, placed) {
        const isQueued = node.run?.status === "queued";
        const answer = isQueued ? this.#answerOf(node.execution_id) : this.answers.get(node.execution_id);
        if (isQueued && !answer.isLive) answer.begin("Waiting for its turn");
        if (answer?.isLive || answer?.whole) {
            placed.add(answer);
            elements.push(answer.element);
        }
        if (answer?.isLive || !["failed", "cancelled"].includes(node.run?.status)) return;
        const ended = this.#answerOf(node.execution_id);
        if (!placed.has(ended)) elements.push(ended.element);
        placed.add(ended);
        ended.store(node, { others: again(others) });
    }

    #acts() {
        const { page } = this;
        const decide = (asked) => this.#decide(asked);
        decide.allows = (approver) => approver !== "manager" || this.agent.can_manage;
        return {
            manages: this.agent.can_manage,
            copy,
            again: (node) => this.again(node),
            edit: (node, text, files) => this.edit(node, text, files),
            left: () => {
                this.render();
                page.message.focus();
            },
            rate: (node, rating) => page.rate(node, rating),
            choose: (node) => {
                this.tree.choose(node.id);
                this.pinned = false;
                this.render();
            },
            decide,
        };
    }

    rated(id, rating, comment) {
        const node = this.tree.nodes.get(id);
        if (node) Object.assign(node, { rating, comment });
        this.render();
    }

    // Returns what went wrong.
    async #decide({ callId, executionId, approve }) {
        try {
            await api.call("POST", `/api/executions/${executionId}/approvals/${callId}`, { approve });
            return "";
        } catch (error) {
            return error.message;
        }
    }

    // The last thing that the user said, to be edited.
    editLast() {
        const last = this.tree.path().map(({ node }) => node).findLast(({ role }) => role === "user");
        if (last) this.questions.get(last.id)?.edit();
        return Boolean(last);
    }

    #isNear() {
        const { scrollHeight, scrollTop, clientHeight } = this.page.scroll;
        return scrollHeight - scrollTop - clientHeight < NEAR_PX;
    }

    // Keeps the end in view, unless the reader went up. `now`: in any case.
    follow(now = false) {
        if (now) this.pinned = true;
        if (this.pinned && !this.isEmpty) this.page.scroll.scrollTop = this.page.scroll.scrollHeight;
        this.page.latest.hidden = this.pinned || this.#isNear();
    }
}

// Whether this is what went out over HTTP, whose answer names it too late.
function isIt(one, id, text) {
    return one.overSocket === false && !one.known.has(id) && text === one.text;
}

function again(others) {
    return others && others.again.length > 1 ? { list: others.again, at: others.at } : null;
}
