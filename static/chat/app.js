// The chat page: puts the list of conversations, the open one, the message box and the connection together.

import * as api from "./api.js";
import { made } from "../shared/dom.js";
import * as acts from "./acts.js";
import { Announcer } from "./announcer.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { shut, toggle } from "./dialogs.js";
import { Picker } from "./picker.js";
import { Sidebar } from "./sidebar.js";
import { Socket } from "./socket.js";

const byId = (id) => document.getElementById(id);
const [message, welcome, heading, connection, notice, drawer, sidebarElement, shade] = [
    "message", "welcome", "heading", "connection", "notice", "drawer", "sidebar", "shade",
].map(byId);
const STATES = {
    offline: "You are offline. What you write is sent when the connection is back.",
    blocked: "Live connections (WebSocket) are blocked between you and the server. You can still chat: answers appear once they are finished.",
    ended: "The server ended the connection. Reload the page to go on.",
};
const NOT_YOURS = "There is no such conversation, or it is not yours.";
const PATIENCE_MS = 1200;
const AGAIN_MS = 4000;
const WARNING_MS = 7000;
const LEFT_MS = 1000;
const PHONE = matchMedia("(max-width: 799px)");
const tabs = "BroadcastChannel" in window ? new BroadcastChannel("switchboard-conversations") : null;
const spoken = new Announcer(byId("spoken"));
let agents = [];
let row = null;
let patience = 0;
let warning = 0;

const socket = new Socket({ opened: () => conversation.reconnected(), heard: (frame) => conversation.hear(frame), changed: shownState });
const conversation = new Conversation({
    log: byId("log"), scroll: byId("scroll"), latest: byId("latest"), earlier: byId("earlier"), message, socket,
    changed: (named = false) => {
        refresh();
        if (named) listed();
    },
    began: () => {
        history.replaceState(null, "", address());
        composer.became(conversation.id);
        listed();
    },
    finished: (status) => {
        spoken.end();
        say(status === "success" ? "The answer is complete." : "The answer has ended.");
        entitle();
        listed();
    },
    gone: () => {
        warn("This conversation was deleted.");
        fresh();
        listed();
    },
    unsent: (key, text) => composer.putAside(key, text),
    rate,
    restore: (text, files) => composer.restore(text, files),
    say,
    warn,
    speak: (text) => spoken.add(text),
});
const composer = new Composer(
    { form: byId("composer"), message, send: byId("send"), stop: byId("stop"), attach: byId("attach"), input: byId("file"), files: byId("files"), drop: byId("drop") },
    {
        send: (text, files) => conversation.send(text, files),
        stop: () => conversation.stop(),
        editLast: () => conversation.editLast(),
        warn,
        isBusy: () => Boolean(conversation.running),
    },
);
const sidebar = new Sidebar(byId("sessions"), byId("search"), {
    open: (wanted) => show(wanted.agent_name, wanted.id),
    menu: (wanted, pressed) => {
        row = wanted;
        toggle(byId("more-menu"), pressed, true);
    },
});

const picker = new Picker({ dialog: byId("picker"), search: byId("picker-search"), list: byId("agents") }, (agent) => fresh(agent.name));

async function start() {
    try {
        agents = await api.call("GET", "/api/agents");
    } catch (error) {
        setTimeout(start, AGAIN_MS);
        return trouble(error.message);
    }
    connection.hidden = true;
    if (!agents.length) return alone();
    sidebar.agents = agents;
    socket.connect();
    listed({ name: null, tell: false });
    await arrive();
    return undefined;
}

function trouble(sentence) {
    connection.textContent = sentence;
    connection.hidden = false;
}

// No agent is open to this person.
function alone() {
    for (const element of [byId("new"), byId("search").parentElement, byId("agent"), byId("composer")]) element.hidden = true;
    welcome.hidden = false;
    welcome.querySelector(".avatar").hidden = true;
    welcome.querySelector("h1").textContent = "There is no agent for you yet";
    const admin = document.querySelector("#me-menu .admin")?.cloneNode(true);
    welcome.querySelector(".about").replaceChildren(admin ? "Make one and publish it: " : "Ask an administrator to open one to you.", admin ?? "");
}

// What the address names.
async function arrive() {
    const wanted = new URLSearchParams(location.search);
    const [name, id] = [wanted.get("agent"), wanted.get("session")];
    if (name && !id && !agents.some((each) => each.name === name)) warn(`There is no agent “${name}” that you may use.`);
    await show(name ?? remembered(), id, false);
}

function remembered() {
    return localStorage.getItem("switchboard-agent") ?? "demo";
}

function address() {
    const query = new URLSearchParams({ agent: conversation.agent.name, ...(conversation.id && { session: conversation.id }) });
    return `/?${query}`;
}

async function show(name, id, remember = true) {
    const agent = agents.find((each) => each.name === name) ?? agents[0];
    if (agent.name !== name && id) warn(NOT_YOURS);
    localStorage.setItem("switchboard-agent", agent.name);
    closeDrawer();
    try {
        await conversation.open(agent, agent.name === name ? id : null);
    } catch (error) {
        warn(error.status === 404 ? NOT_YOURS : error.message);
        await conversation.open(agent, null);
    }
    if (remember) history.pushState(null, "", address());
    else history.replaceState(null, "", address());
    composer.show(conversation.id ?? `new-${agent.name}`);
    sidebar.mark(conversation.id);
    greet(agent);
    refresh();
    focus();
}

function fresh(name = conversation.agent.name) {
    return show(name, null);
}

addEventListener("popstate", arrive);
addEventListener("pagehide", ({ persisted }) => { if (!persisted) conversation.putAside(); });

// How it looks

function refresh() {
    const { agent } = conversation;
    if (!agent) return;
    composer.enabled = agent.status === "running";
    composer.refresh();
    welcome.hidden = !conversation.isEmpty;
    byId("more").hidden = !conversation.id;
    byId("share").hidden = !agent.can_manage;
    byId("agent").querySelector(".title").textContent = conversation.id ? conversation.title || "New conversation" : "";
    heading.hidden = conversation.isEmpty;
    heading.textContent = conversation.title || "New conversation";
    document.title = conversation.id && conversation.title ? `${conversation.title} – ${agent.display_name}` : agent.display_name;
    sidebar.mark(conversation.id);
}

function greet(agent) {
    const letter = agent.avatar || agent.display_name.charAt(0).toUpperCase();
    for (const place of [byId("agent"), welcome]) place.querySelector(".avatar").textContent = letter;
    byId("agent").querySelector(".name").textContent = agent.display_name;
    message.placeholder = agent.status === "running" ? `Message ${agent.display_name}` : `${agent.display_name} is stopped`;
    welcome.querySelector("h1").textContent = agent.display_name;
    welcome.querySelector(".about").textContent = agent.description;
    const starters = (agent.status === "running" ? agent.conversation_starters : []).map((text) => {
        const item = made("li");
        const starter = made("button", "starter", text);
        starter.type = "button";
        starter.addEventListener("click", () => conversation.send(text, []));
        item.append(starter);
        return item;
    });
    welcome.querySelector(".starters").replaceChildren(...starters);
}

function shownState(state) {
    clearTimeout(patience);
    if (!STATES[state]) {
        connection.hidden = true;
        return;
    }
    if (!navigator.onLine || state !== "offline") return trouble(STATES[state]);
    patience = setTimeout(() => trouble("The connection to the server is lost. Trying again …"), PATIENCE_MS);
}

function say(text) {
    byId("status").textContent = text;
}

// What everybody should see, for a while.
function warn(text) {
    clearTimeout(warning);
    notice.textContent = text;
    notice.hidden = false;
    warning = setTimeout(() => { notice.hidden = true; }, WARNING_MS);
}

function focus() {
    if (matchMedia("(hover: hover)").matches) message.focus(); // on a phone it would raise the keyboard
}

// The list of conversations, here and in other tabs

function listed({ name = conversation.agent.name, tell = true } = {}) {
    sidebar.refresh({ name });
    if (tell) tabs?.postMessage({ name });
}

tabs?.addEventListener("message", ({ data: { name, left } }) => {
    if (left) setTimeout(() => location.assign("/login"), LEFT_MS);
    else listed({ name, tell: false });
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && agents.length) listed({ name: null, tell: false }); });

// After the first answer the agent names the conversation.
async function entitle() {
    const { agent, id, tree } = conversation;
    if (!id || tree.nodes.size > 2) return;
    await new Promise((later) => setTimeout(later, 300));
    try {
        const session = await api.call("POST", `/api/agents/${agent.name}/chat/sessions/${id}/title`);
        if (session.id !== conversation.id || session.title === conversation.title) return;
        conversation.title = session.title;
        refresh();
        listed();
    } catch {
        // its first words do as well
    }
}

// One conversation

const ACTS = {
    rename: async (wanted) => {
        const title = await acts.rename(wanted);
        if (title === null) return;
        if (wanted.id === conversation.id) conversation.title = title;
        refresh();
        listed({ name: wanted.agent_name });
    },
    delete: async (wanted) => {
        if (!(await acts.remove(wanted))) return;
        if (wanted.id === conversation.id) await fresh();
        listed({ name: wanted.agent_name });
    },
    md: (wanted) => acts.save(wanted, "md").catch(failed),
    json: (wanted) => acts.save(wanted, "json").catch(failed),
};

function session() {
    return row ?? { id: conversation.id, agent_name: conversation.agent.name, title: conversation.title };
}

async function rate(node, rating) {
    try {
        await acts.rate(conversation.agent, node, rating, (comment) => conversation.rated(node.id, rating, comment));
        say(rating ? "Thank you." : "Your rating was taken back.");
    } catch (error) {
        failed(error);
    }
}

function failed(error) {
    warn(error.message);
}

// Buttons and keys

byId("new").addEventListener("click", () => fresh());
byId("agent").addEventListener("click", () => picker.show(agents, conversation.agent));
byId("share").addEventListener("click", () => acts.share(conversation.agent));
byId("earlier").addEventListener("click", () => conversation.earlier());
byId("latest").addEventListener("click", () => {
    conversation.follow(true);
    message.focus();
});
byId("keys-open").addEventListener("click", () => {
    shut();
    byId("keys").showModal();
});
byId("me").addEventListener("click", (event) => toggle(byId("me-menu"), event.currentTarget));
byId("more").addEventListener("click", (event) => {
    row = null;
    toggle(byId("more-menu"), event.currentTarget, true);
});
byId("more-menu").addEventListener("click", (event) => {
    const act = event.target.closest("[data-act]")?.dataset.act;
    if (!act) return;
    const wanted = session();
    shut();
    row = null;
    ACTS[act](wanted);
});

for (const choose of document.querySelectorAll("[data-theme-choice]")) choose.addEventListener("click", () => theme(choose.dataset.themeChoice));

function theme(chosen) {
    localStorage.setItem("switchboard-theme", chosen);
    if (chosen) document.documentElement.dataset.theme = chosen;
    else delete document.documentElement.dataset.theme;
    marked(chosen);
}

function marked(chosen) {
    for (const choose of document.querySelectorAll("[data-theme-choice]")) choose.setAttribute("aria-pressed", String(choose.dataset.themeChoice === chosen));
}

marked(document.documentElement.dataset.theme ?? "");

// Who comes next to this browser finds no drafts, and no tab that is still somebody else's.
byId("leave").addEventListener("submit", () => {
    sessionStorage.clear();
    tabs?.postMessage({ left: true });
});

drawer.addEventListener("click", () => openDrawer());
byId("shut").addEventListener("click", () => closeDrawer());
shade.addEventListener("click", () => closeDrawer());
PHONE.addEventListener("change", () => closeDrawer());
closeDrawer();

function openDrawer() {
    document.body.classList.add("drawn");
    shade.hidden = false;
    sidebarElement.inert = false;
    byId("page").inert = true;
    drawer.setAttribute("aria-expanded", "true");
    byId("shut").focus();
}

function closeDrawer() {
    const was = document.body.classList.contains("drawn");
    document.body.classList.remove("drawn");
    shade.hidden = true;
    sidebarElement.inert = PHONE.matches;
    byId("page").inert = false;
    drawer.setAttribute("aria-expanded", "false");
    if (was) drawer.focus();
}

addEventListener("keydown", (event) => {
    const command = event.ctrlKey || event.metaKey;
    if (command && event.key.toLowerCase() === "k") {
        event.preventDefault();
        if (PHONE.matches) openDrawer();
        byId("search").focus();
    } else if (command && event.shiftKey && event.key.toLowerCase() === "o") {
        event.preventDefault();
        if (conversation.agent) fresh();
    } else if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
        escaped(event);
    }
});

// Esc shuts what is open; else it stops the answer.
function escaped(event) {
    if (shut(true)) return;
    if (document.body.classList.contains("drawn")) return closeDrawer();
    if (event.target === byId("search")) {
        byId("search").value = "";
        sidebar.refresh({ first: true });
        message.focus();
        return;
    }
    if (conversation.running) conversation.stop();
}

start();
