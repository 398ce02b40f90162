// A tool call as a card: what went in, what came out, how long it took, and whether it may run.

import { button, icon, made } from "../shared/dom.js";
import { duration } from "./format.js";

const TOOL = "M14.5 6.5a4 4 0 0 0-5 5L4 17v3h3l5.5-5.5a4 4 0 0 0 5-5L15 12l-3-3z";
const LONGEST = 20_000;

export class Tool {
    constructor(name) {
        this.element = made("details", "tool running");
        const head = made("summary");
        this.name = made("span", "name", name.replaceAll("_", " "));
        this.state = made("span", "state", "Running …");
        head.append(icon(TOOL), this.name, this.state);
        this.inside = made("div", "inside");
        this.element.append(head, this.inside);
    }

    called(input) {
        this.#show("Input", input && Object.keys(input).length ? JSON.stringify(input, null, 2) : "Nothing");
    }

    returned({ ok, result, error, duration_ms: ms }) {
        this.#become(ok ? "done" : "failed", `${ok ? "" : "Failed · "}${duration(ms)}` || "Done");
        this.#show(ok ? "Output" : "Error", text(ok ? result : error));
        this.inside.querySelector(".approval")?.remove();
        this.over = true;
    }

    // It waits for a yes or a no.
    asks({ approval_id: id, tool_call_id: callId, execution_id: executionId, message, approver }, decide) {
        this.#become("asking", "Waiting for approval");
        this.element.open = true;
        const asking = made("div", "approval");
        asking.append(made("p", "", message));
        const answer = async (approve) => {
            for (const each of asking.querySelectorAll("button")) each.disabled = true;
            const problem = await decide({ id, callId, executionId, approve });
            if (!problem) return;
            asking.querySelector(".problem").textContent = problem;
            for (const each of asking.querySelectorAll("button")) each.disabled = false;
        };
        if (decide.allows(approver)) {
            const buttons = made("div", "buttons");
            buttons.append(button("Approve", () => answer(true), { name: "first" }), button("Deny", () => answer(false), { name: "quiet" }));
            asking.append(buttons);
        } else {
            asking.append(made("p", "note", "A manager of this agent has to decide."));
        }
        asking.append(made("p", "problem"));
        this.inside.append(asking);
    }

    decided({ approved, reason }) {
        this.inside.querySelector(".approval")?.remove();
        this.#become(approved ? "running" : "failed", approved ? "Approved" : `Denied${reason ? `: ${reason}` : ""}`);
        this.element.open = false;
    }

    // The turn is over; a call without a result was cut off.
    ended() {
        if (this.over) return;
        this.inside.querySelector(".approval")?.remove();
        this.#become("failed", "Not finished");
    }

    #become(state, sentence) {
        this.element.className = `tool ${state}`;
        this.state.textContent = sentence;
    }

    #show(title, content) {
        const known = [...this.inside.querySelectorAll(".what")].find((name) => name.textContent === title);
        const pre = known?.nextElementSibling ?? made("pre");
        pre.textContent = content.length > LONGEST ? `${content.slice(0, LONGEST)} …` : content;
        pre.tabIndex = 0;
        if (!known) this.inside.append(made("p", "what", title), pre);
    }
}

function text(value) {
    if (typeof value === "string") return value || "Nothing";
    return value === null || value === undefined ? "Nothing" : JSON.stringify(value, null, 2);
}
