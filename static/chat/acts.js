// What one does with a conversation or its agent, beside chatting. Each asks first where it should; what goes wrong after that is thrown.

import * as api from "./api.js";
import { copy } from "../shared/clipboard.js";
import { ask } from "./dialogs.js";

const NAME_CHARS = 60;
const KEPT_MS = 10_000;

const path = ({ agent_name: agent, id }, rest = "") => `/api/agents/${agent}/chat/sessions/${id}${rest}`;

// Resolves to the new title, or to null.
export async function rename(session) {
    const title = await ask({
        heading: "Rename this conversation", field: "Title", given: session.title, confirm: "Rename",
        act: (text) => api.call("PATCH", path(session), { title: text.trim() }),
    });
    return title === null ? null : title.trim();
}

export function remove(session) {
    return ask({
        heading: "Delete this conversation?", about: `“${session.title || "New conversation"}” will be gone for good.`, confirm: "Delete", bad: true,
        act: () => api.call("DELETE", path(session)),
    });
}

// As a download. `format`: md, json.
export async function save(session, format) {
    const response = await api.request("GET", path(session, `/export?format=${format}`));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await response.blob());
    link.download = `${fileName(session.title)}.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}

function fileName(title) {
    return title.replace(/[^\p{L}\p{N} _-]+/gu, "").trim().slice(0, NAME_CHARS) || "conversation";
}

// `rating`: 1, -1 (what was wrong is asked, too) or null. `given(comment)` is told each time the server has it.
export async function rate(agent, node, rating, given) {
    const give = async (comment) => {
        await api.call("PUT", `/api/agents/${agent.name}/chat/messages/${node.id}/feedback`, { rating, ...(comment && { comment }) });
        given(comment ?? null);
    };
    await give(rating ? node.comment : null);
    if (rating !== -1) return;
    await ask({ heading: "What was wrong?", field: "Comment", given: node.comment ?? "", lines: 3, most: 2000, confirm: "Send", cancel: "Not now", act: give });
}

export async function share(agent) {
    let link = null;
    const named = await ask({
        heading: `Share ${agent.display_name}`,
        about: "Makes a public link: whoever has it can chat with this agent, without signing in. They do not see your conversations.",
        field: "Name of the link (optional)", most: 100, confirm: "Create link",
        act: async (name) => { link = await newLink(agent, name.trim()); },
    });
    if (named === null) return;
    await ask({ heading: "The link is ready", field: "Address", given: link.url, lines: 2, most: 2000, confirm: "Copy", cancel: "Close", act: (url) => copy(url, null) });
}

// A link that works: those of agents that are not shareable are dead from the beginning.
async function newLink(agent, name) {
    const links = `/api/agents/${agent.name}/public-links`;
    const link = await api.call("POST", links, { name: name || null });
    const { valid } = await (await fetch(`/api/public/link/${link.token}`, { credentials: "omit" })).json();
    if (valid) return link;
    await api.call("DELETE", `${links}/${link.id}`);
    throw new Error("This agent may not be shared. Allow public links in its settings first.");
}
