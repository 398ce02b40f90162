// What the page asks over HTTP: a token from its own session (cookie, CSRF), then the public wires with that token alone.

export class Refusal extends Error {
    constructor(status, code, sentence) {
        super(sentence);
        this.status = status;
        this.code = code;
    }
}

const OFFLINE = "The server cannot be reached. Check your connection.";
let kept = { access: "", until: 0 };
let asking = null;

// A token that is good for a while yet. Whoever is not signed in any more goes to the sign-in page and is led back.
export async function access() {
    if (kept.until > Date.now()) return kept.access;
    asking ??= renew().finally(() => { asking = null; });
    return asking;
}

async function renew() {
    const response = await reach("/session-token", { method: "POST", headers: { "X-CSRFToken": cookie("csrftoken") }, credentials: "same-origin" });
    if (response.status === 401 || response.status === 403) {
        location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
        throw new Refusal(401, "invalid_credentials", "Sign in again.");
    }
    if (!response.ok) throw await refusal(response);
    const { access: token, expires_in: seconds } = await response.json();
    kept = { access: token, until: Date.now() + seconds * 800 };
    return token;
}

export function forget() {
    kept = { access: "", until: 0 };
}

// Milliseconds for which the token is good.
export function left() {
    return kept.until - Date.now();
}

// JSON there and back; `undefined` where nothing comes back.
export async function call(method, path, body, headers = {}) {
    const response = await request(method, path, body, headers);
    return response.status === 204 ? undefined : response.json();
}

export async function request(method, path, body, headers = {}, again = true) {
    const response = await reach(path, {
        method,
        headers: { authorization: `Bearer ${await access()}`, ...(body && { "content-type": "application/json" }), ...headers },
        body: body && JSON.stringify(body),
        credentials: "omit",
        cache: "no-store",
    });
    if (response.ok) return response;
    if (response.status === 401 && again) {
        forget();
        return request(method, path, body, headers, false);
    }
    throw await refusal(response);
}

export async function ticket() {
    return (await call("POST", "/api/ws/ticket")).ticket;
}

// One file, with its progress from 0 to 1. Aborted by `signal`.
export async function upload(file, progress, signal) {
    const token = await access();
    return new Promise((done, failed) => {
        const request = new XMLHttpRequest();
        const form = new FormData();
        form.append("file", file, file.name);
        request.open("POST", "/attachment/v1/upload");
        request.setRequestHeader("authorization", `Bearer ${token}`);
        request.upload.addEventListener("progress", (event) => progress(event.total ? event.loaded / event.total : 0));
        request.addEventListener("load", () => (request.status < 300 ? done(JSON.parse(request.response)) : failed(told(request.status, request.response))));
        request.addEventListener("error", () => failed(new Refusal(0, "offline", OFFLINE)));
        signal.addEventListener("abort", () => request.abort());
        request.send(form);
    });
}

async function reach(path, options) {
    try {
        return await fetch(path, options);
    } catch {
        throw new Refusal(0, "offline", OFFLINE);
    }
}

async function refusal(response) {
    return told(response.status, await response.text());
}

function told(status, text) {
    try {
        const { code, detail, error, message } = JSON.parse(text);
        return new Refusal(status, code ?? detail?.error ?? "unknown", sentence(detail ?? error ?? message));
    } catch {
        return new Refusal(status, "unknown", "Something went wrong. Try again.");
    }
}

function sentence(detail) {
    if (typeof detail === "string") return detail;
    if (detail?.message) return detail.message;
    const first = (Array.isArray(detail) ? detail : []).map(({ loc, msg }) => `${loc.at(-1)} ${msg}`).join(", ");
    return first ? `${first.charAt(0).toUpperCase()}${first.slice(1)}.` : "Something went wrong. Try again.";
}

function cookie(name) {
    return document.cookie.split("; ").find((part) => part.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
}
