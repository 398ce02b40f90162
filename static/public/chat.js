// The public chat page: one conversation with one agent, kept by this browser.

import { Log } from "./log.js";
import { Memory } from "./memory.js";
import { objects, Refusal, Server } from "./server.js";
import { verification } from "./verify.js";

const { token, name, avatar, requireEmail } = document.body.dataset;
const [welcome, list, composer, message, send, stop, anew, latest, status] = [
    "welcome", "log", "composer", "message", "send", "stop", "anew", "latest", "status",
].map((id) => document.getElementById(id));

const RECONNECTS = 5;
const NEAR_PX = 120;
const DECISION_POLL_MS = 10_000;
const memory = new Memory(token);
const server = new Server(token, memory);
const log = new Log(list, avatar);
const gate = verification(server, memory, open);
let busy = false;
let paused = false;

await open();

// The conversation as it stands: what was said, and the answer that is still being written.
async function open() {
    if (requireEmail !== undefined && !memory.visitorToken) return lock();
    let found;
    try {
        found = await server.history();
    } catch (error) {
        return error instanceof Refusal && error.isVerification ? lock() : closed(error);
    }
    if (memory.sessionId && !found.session_id && requireEmail === undefined) memory.keep({ sessionId: undefined, running: undefined });
    log.clear();
    log.show(found.messages);
    ready();
    toEnd();
    const unanswered = found.messages.at(-1)?.role === "user";
    if (memory.running && unanswered) await receive(() => server.follow(memory.running), found.messages.at(-1).content);
    else memory.keep({ running: undefined });
}

function ready() {
    composer.hidden = false;
    refresh();
    if (matchMedia("(hover: hover)").matches) message.focus(); // on a phone it would raise the keyboard
}

function lock() {
    composer.hidden = welcome.hidden = anew.hidden = true;
    log.clear();
    gate.show();
}

function closed(error) {
    log.clear();
    log.answer().problem(error.message, () => {
        log.clear();
        open();
    });
}

function refresh() {
    welcome.hidden = !log.isEmpty;
    anew.hidden = log.isEmpty || busy;
    send.hidden = busy;
    stop.hidden = !busy;
    send.disabled = !message.value.trim() || message.disabled;
    grow();
}

// Asking

composer.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = message.value;
    if (busy || !text.trim()) return;
    message.value = "";
    ask(text);
});

message.addEventListener("input", refresh);
message.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    composer.requestSubmit();
});

for (const starter of document.querySelectorAll(".starter")) starter.addEventListener("click", () => ask(starter.textContent));

function ask(text) {
    if (busy) return;
    log.ask(text);
    receive(() => server.send(text), text);
}

// Receiving

async function receive(start, text) {
    busy = true;
    paused = false;
    const answer = log.answer();
    answer.begin();
    refresh();
    toEnd();
    say(`${name} is writing.`);
    const again = () => {
        answer.remove();
        ask(text);
    };
    try {
        await listen(start, answer, again);
        say(answer.text || "The answer has ended.");
    } catch (error) {
        failed(error, answer, text, again);
    } finally {
        answer.end();
        busy = false;
        if (paused) awaitDecision(memory.running);
        else memory.keep({ running: undefined });
        refresh();
        if (isNearEnd()) toEnd();
    }
}

// Somebody has to approve a step: shows how it goes on, unless the visitor goes on first.
async function awaitDecision(executionId) {
    while (paused && memory.running === executionId) {
        await new Promise((later) => setTimeout(later, DECISION_POLL_MS));
        try {
            const { status: state } = await server.status(executionId);
            if (state !== "paused" && paused && !busy) return open();
        } catch {
            return; // the page is as good as it was
        }
    }
}

// Follows the answer to its end, over broken connections.
async function listen(start, answer, again) {
    let next = start;
    for (let tries = 0; ; tries++) {
        try {
            const response = await next();
            begun(response, answer);
            for await (const told of objects(response)) {
                hear(told, answer, again);
                tries = 0;
            }
            return;
        } catch (error) {
            if (error.code !== "offline" || !memory.running || tries >= RECONNECTS) throw error;
            await new Promise((later) => setTimeout(later, 500 * 2 ** tries));
            next = () => server.follow(memory.running);
            answer.restart();
        }
    }
}

function begun(response, answer) {
    const [running, given] = ["x-execution-id", "x-session-id"].map((name) => response.headers.get(name));
    if (given && memory.sessionId && given !== memory.sessionId) answer.note("Your earlier conversation has expired. This is a new one.");
    memory.keep({ running, sessionId: given ?? memory.sessionId });
}

function hear(told, answer, again) {
    const near = isNearEnd();
    if (told.type === "rendered") answer.rendered(told);
    else if (told.type === "tool") answer.tool(told);
    else if (told.type === "gap" && told.restart) answer.restart();
    else if (told.type === "error") answer.problem(told.message, again);
    else if (told.type === "result" && told.subtype === "paused") paused = true;
    else if (told.type === "result" && told.subtype === "cancelled") answer.problem("You stopped this answer.", again, true);
    if (near) toEnd();
}

function failed(error, answer, text, again) {
    if (!(error instanceof Refusal)) throw error;
    if (error.isVerification) {
        answer.remove();
        message.value = text;
        return lock();
    }
    answer.problem(error.message, error.code === "quota_exhausted" ? undefined : again);
    say(error.message);
}

stop.addEventListener("click", async () => {
    stop.disabled = true;
    try {
        if (memory.running) await server.stop(memory.running);
    } catch {
        say("The answer could not be stopped.");
    } finally {
        stop.disabled = false;
        message.focus();
    }
});

// Beginning anew

anew.addEventListener("click", async () => {
    anew.disabled = true;
    try {
        const { new_session_id: sessionId } = await server.clear();
        memory.keep({ sessionId: sessionId ?? undefined });
        log.clear();
        say("A new conversation.");
    } catch (error) {
        say(error.message);
        if (error.isVerification) lock();
    } finally {
        anew.disabled = false;
        refresh();
        message.focus();
    }
});

// The page itself

function say(text) {
    status.textContent = text;
}

function isNearEnd() {
    const page = document.documentElement;
    return page.scrollHeight - page.scrollTop - page.clientHeight < NEAR_PX;
}

function toEnd() {
    scrollTo({ top: document.documentElement.scrollHeight });
}

function grow() {
    message.style.height = "auto";
    message.style.height = `${message.scrollHeight}px`;
}

addEventListener("scroll", () => { latest.hidden = isNearEnd(); }, { passive: true });
latest.addEventListener("click", () => { toEnd(); message.focus(); });
