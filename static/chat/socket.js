// The page's one socket: connects with a ticket, comes back by itself (WS-71, WS-72), says how it stands.
// States: connecting, open, offline, blocked (HTTP works, sockets do not), ended (the server wants no more of us).

import * as api from "./api.js";

const FIRST_MS = 500;
const LONGEST_MS = 30_000;
const STEADY_MS = 5_000; // a connection that ended earlier is one more try
const SILENCE_MS = 70_000; // the server pings every 25 s
const FINAL = [1000, 4403, 4404];
const TRIES_UNTIL_BLOCKED = 3;

export class Socket {
    #socket = null;
    #wait = FIRST_MS;
    #timer = 0;
    #failures = 0;
    #heardAt = 0;
    #connecting = false;

    // `opened`, `heard(frame)` and `changed(state)` are called.
    constructor({ opened, heard, changed }) {
        Object.assign(this, { opened, heard, changed });
        this.state = "connecting";
        addEventListener("online", () => this.now());
        addEventListener("offline", () => this.#lost("offline"));
        document.addEventListener("visibilitychange", () => { if (!document.hidden) this.now(); });
        setInterval(() => this.#watch(), 5_000);
    }

    get isOpen() {
        return this.#socket?.readyState === WebSocket.OPEN;
    }

    send(frame) {
        if (!this.isOpen) return false;
        this.#socket.send(JSON.stringify(frame));
        return true;
    }

    // Connects at once, if it is not connected.
    now() {
        if (this.isOpen || this.#connecting || this.state === "ended") return;
        clearTimeout(this.#timer);
        this.#wait = FIRST_MS;
        this.connect();
    }

    async connect() {
        if (this.#connecting) return;
        this.#connecting = true;
        let ticket;
        try {
            ticket = await api.ticket();
        } catch {
            this.#connecting = false;
            return this.#lost("offline");
        }
        const scheme = location.protocol === "https:" ? "wss" : "ws";
        const query = new URLSearchParams({ mode: "text", reasoning: "true", render: "html", ticket });
        const socket = new WebSocket(`${scheme}://${location.host}/chat?${query}`);
        let openedAt = 0;
        socket.addEventListener("open", () => {
            this.#connecting = false;
            this.#failures = 0;
            openedAt = this.#heardAt = Date.now();
            this.#become("open");
            this.opened();
        });
        socket.addEventListener("message", ({ data }) => {
            this.#heardAt = Date.now();
            this.heard(JSON.parse(data));
        });
        socket.addEventListener("close", ({ code }) => {
            if (socket !== this.#socket) return;
            this.#connecting = false;
            this.#socket = null;
            if (code === 4401) api.forget();
            if (FINAL.includes(code)) return this.#become("ended");
            if (!openedAt) this.#failures += 1;
            else if (Date.now() - openedAt > STEADY_MS) this.#wait = FIRST_MS;
            this.#lost(this.#failures >= TRIES_UNTIL_BLOCKED ? "blocked" : "offline");
        });
        this.#socket = socket;
    }

    #lost(state) {
        if (state === "offline" && this.#socket && !navigator.onLine) this.#drop();
        this.#become(state);
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.connect(), this.#wait * (0.75 + Math.random() / 2));
        this.#wait = Math.min(this.#wait * 2, LONGEST_MS);
    }

    // A connection that is dead without knowing it.
    #drop() {
        const socket = this.#socket;
        this.#socket = null;
        this.#connecting = false;
        socket?.close();
    }

    #watch() {
        if (this.isOpen && Date.now() - this.#heardAt > SILENCE_MS) {
            this.#drop();
            this.#lost("offline");
        }
        if (this.isOpen && api.left() < 0) api.access().then((token) => this.send({ type: "auth", token })).catch(() => {});
    }

    #become(state) {
        if (state === this.state) return;
        this.state = state;
        this.changed(state);
    }
}
