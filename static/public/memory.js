// What this browser remembers of a link: the conversation, the verified visitor, and the answer that is on its way.

export class Memory {
    #key;
    #kept = {};

    constructor(token) {
        this.#key = `switchboard-chat-${token}`;
        try {
            this.#kept = JSON.parse(localStorage.getItem(this.#key)) ?? {};
        } catch {
            this.#kept = {}; // storage is blocked or broken: the page works without it, until it is closed
        }
    }

    get sessionId() {
        return this.#kept.sessionId;
    }

    get visitorToken() {
        return this.#kept.visitorToken;
    }

    get running() {
        return this.#kept.running;
    }

    keep(changes) {
        this.#kept = { ...this.#kept, ...changes };
        try {
            localStorage.setItem(this.#key, JSON.stringify(this.#kept));
        } catch {
            // as above
        }
    }
}
