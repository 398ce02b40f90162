// What the page asks of the server: always the same origin, always by token and conversation, never by a cookie.

export class Refusal extends Error {
    constructor(status, code, sentence) {
        super(sentence);
        this.status = status;
        this.code = code;
    }

    get isVerification() {
        return this.code === "session_token_required" || this.code === "session_token_invalid";
    }
}

const OFFLINE = "The server cannot be reached. Check your connection.";

export class Server {
    constructor(token, memory) {
        this.token = token;
        this.memory = memory;
    }

    history() {
        return this.#json("GET", this.#path("history", { render: "html" }));
    }

    clear() {
        return this.#json("DELETE", this.#path("session"));
    }

    stop(executionId) {
        return this.#json("POST", this.#path("executions", {}, `/${executionId}/terminate`));
    }

    status(executionId) {
        return this.#json("GET", this.#path("executions", {}, `/${executionId}/status`));
    }

    askCode(email) {
        return this.#json("POST", "/api/public/verify/request", { token: this.token, email });
    }

    giveCode(email, code) {
        return this.#json("POST", "/api/public/verify/confirm", { token: this.token, email, code });
    }

    // The answer to a message, as it is written.
    send(message) {
        const body = { message, session_id: this.memory.sessionId, session_token: this.memory.visitorToken };
        return this.#fetch("POST", this.#bare("chat", { render: "html" }), body, "text/event-stream");
    }

    // An answer that is on its way already, from its beginning.
    follow(executionId) {
        return this.#fetch("GET", this.#path("executions", { render: "html" }, `/${executionId}/stream`), undefined, "text/event-stream");
    }

    #bare(what, query = {}, rest = "") {
        const parameters = new URLSearchParams(query).toString();
        return `/api/public/${what}/${this.token}${rest}${parameters ? `?${parameters}` : ""}`;
    }

    #path(what, query = {}, rest = "") {
        const { sessionId, visitorToken } = this.memory;
        return this.#bare(what, { ...query, ...(sessionId && { session_id: sessionId }), ...(visitorToken && { session_token: visitorToken }) }, rest);
    }

    async #json(method, path, body) {
        return (await this.#fetch(method, path, body, "application/json")).json();
    }

    async #fetch(method, path, body, accept) {
        const headers = { accept, ...(body && { "content-type": "application/json" }) };
        let response;
        try {
            response = await fetch(path, { method, headers, body: body && JSON.stringify(body), credentials: "omit", cache: "no-store" });
        } catch {
            throw new Refusal(0, "offline", OFFLINE);
        }
        if (response.ok) return response;
        throw await refusal(response);
    }
}

async function refusal(response) {
    try {
        const { code, detail } = await response.json();
        return new Refusal(response.status, code, typeof detail === "string" ? detail : sentence(detail));
    } catch {
        return new Refusal(response.status, "unknown", "Something went wrong. Try again.");
    }
}

function sentence(problems) {
    const told = problems.map(({ loc, msg }) => `${loc.at(-1)} ${msg}`).join(", ");
    return `${told.charAt(0).toUpperCase()}${told.slice(1)}.`;
}

// The objects of an event stream. Ends with the stream; throws a Refusal when the connection breaks before its last frame.
export async function* objects(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    try {
        for (;;) {
            const { value, done } = await reader.read();
            if (done) break;
            const frames = (rest + value).split("\n\n");
            rest = frames.pop();
            for (const frame of frames) {
                const told = dataOf(frame);
                if (told?.type === "stream_end") return;
                if (told) yield told;
            }
        }
    } catch (error) {
        if (error instanceof SyntaxError) throw error;
    }
    throw new Refusal(0, "offline", OFFLINE);
}

function dataOf(frame) {
    const lines = frame.split("\n").filter((line) => line.startsWith("data:"));
    return lines.length ? JSON.parse(lines.map((line) => line.slice(5)).join("\n")) : null;
}
