// The box in which messages are written, with the files that go with them: chosen, dragged or pasted.

import * as api from "./api.js";
import { button, icon, made } from "../shared/dom.js";
import { bytes } from "./format.js";

const MOST_FILES = 20;
const CROSS = ["M6 6l12 12M18 6L6 18"];
const FILE = "M6 3h8l4 4v14H6zM14 3v4h4";

export class Composer {
    #files = [];
    #key = "";

    // `acts`: send(text, files), stop(), editLast(), isBusy(), warn(text).
    constructor({ form, message, send, stop, attach, input, files, drop }, acts) {
        Object.assign(this, { form, message, sending: send, stopping: stop, files, acts, enabled: false, mostBytes: Number(input.dataset.mostBytes) });
        form.addEventListener("submit", (event) => {
            event.preventDefault();
            this.#submit();
        });
        message.addEventListener("input", () => {
            this.refresh();
            this.#keep();
        });
        message.addEventListener("keydown", (event) => this.#pressed(event));
        message.addEventListener("paste", (event) => this.#pasted(event));
        stop.addEventListener("click", () => acts.stop());
        attach.addEventListener("click", () => input.click());
        input.addEventListener("change", () => {
            this.add(input.files);
            input.value = "";
        });
        this.#dragging(drop);
    }

    #dragging(drop) {
        let depth = 0;
        const has = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
        const over = (change) => {
            depth = Math.max(0, depth + change);
            drop.hidden = !depth;
        };
        addEventListener("dragenter", (event) => { if (has(event)) over(1); });
        addEventListener("dragleave", (event) => { if (has(event)) over(-1); });
        addEventListener("dragover", (event) => { if (has(event)) event.preventDefault(); });
        addEventListener("drop", (event) => {
            if (!has(event)) return;
            event.preventDefault();
            over(-depth);
            this.add(event.dataTransfer.files);
        });
    }

    #pressed(event) {
        if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            this.form.requestSubmit();
        }
        if (event.key === "ArrowUp" && !this.message.value && this.acts.editLast()) event.preventDefault();
    }

    // Files are attached, and a text too long for the box is. Office programs bring a picture beside their text: that is text.
    #pasted(event) {
        const { files, types } = event.clipboardData;
        const text = event.clipboardData.getData("text/plain");
        const isOffice = text && types.includes("text/html");
        const isLong = text.length + this.message.value.length > this.message.maxLength;
        if (!isLong && (!files.length || isOffice)) return;
        event.preventDefault();
        this.add(isLong ? [new File([text], "pasted.txt", { type: "text/plain" })] : files);
    }

    #submit() {
        const text = this.message.value;
        if (this.sending.disabled) return this.#explain();
        const files = this.#files.map(({ id, file, url }) => ({ attachment_id: id, name: file.name, mimetype: file.type, url }));
        this.#files = [];
        this.message.value = "";
        this.#keep();
        this.refresh();
        this.acts.send(text.trim() ? text : "", files);
    }

    // Why what stands here is not sent.
    #explain() {
        if (this.#files.some(({ problem }) => problem)) this.acts.warn("A file could not be attached. Remove it, then send.");
        else if (this.#files.some(({ id }) => !id)) this.acts.warn("Wait until the files are uploaded.");
    }

    // What was to be sent and could not be.
    restore(text, files) {
        this.message.value = text;
        for (const file of files) this.#files.push({ id: file.attachment_id, file: { name: file.name, type: file.mimetype, size: null }, url: file.url, share: 1 });
        this.refresh();
        this.message.focus();
    }

    // The draft of another conversation.
    show(key) {
        this.#key = draft(key);
        this.message.value = sessionStorage.getItem(this.#key) ?? "";
        this.refresh();
    }

    // The conversation is called so from now on; what is being written in it stays.
    became(key) {
        sessionStorage.removeItem(this.#key);
        this.#key = draft(key);
        this.#keep();
    }

    // What could not be sent before its conversation was left waits there.
    putAside(key, text) {
        sessionStorage.setItem(draft(key), [text, sessionStorage.getItem(draft(key))].filter(Boolean).join("\n\n"));
    }

    #keep() {
        if (this.message.value) sessionStorage.setItem(this.#key, this.message.value);
        else sessionStorage.removeItem(this.#key);
    }

    add(files) {
        const room = MOST_FILES - this.#files.length;
        if (files.length > room) this.acts.warn(`At most ${MOST_FILES} files go with a message.`);
        for (const file of [...files].slice(0, room)) this.#upload(file);
        this.refresh();
    }

    async #upload(file) {
        const one = { file, share: 0, stop: new AbortController(), url: file.type.startsWith("image/") ? URL.createObjectURL(file) : null };
        this.#files.push(one);
        if (file.size > this.mostBytes) return Object.assign(one, { problem: `Too large: at most ${bytes(this.mostBytes)}.` });
        try {
            const answer = await api.upload(file, (share) => {
                one.share = share;
                one.bar?.setAttribute("value", share);
            }, one.stop.signal);
            one.id = answer.attachmentId;
        } catch (error) {
            one.problem = error.message;
        }
        return this.refresh();
    }

    #remove(one) {
        one.stop?.abort();
        this.#files = this.#files.filter((other) => other !== one);
        if (one.id) api.call("DELETE", "/attachment/v1/delete", { attachmentId: one.id }).catch(() => {}); // it goes with the others that belong to nobody
        this.refresh();
        this.message.focus();
    }

    refresh() {
        const ready = this.#files.every(({ id }) => id);
        const something = this.message.value.trim() || this.#files.length;
        this.sending.disabled = !this.enabled || !something || !ready;
        this.message.disabled = !this.enabled;
        const busy = this.acts.isBusy();
        this.stopping.hidden = !busy;
        this.sending.hidden = busy && !something;
        this.files.hidden = !this.#files.length;
        this.files.replaceChildren(...this.#files.map((one) => this.#chip(one)));
        this.message.style.height = "auto";
        this.message.style.height = `${this.message.scrollHeight}px`;
    }

    #chip(one) {
        const { file, url, problem, id } = one;
        const chip = made("li", problem ? "failed" : "");
        if (url) {
            const picture = made("img");
            Object.assign(picture, { src: url, alt: "" });
            chip.append(picture);
        } else {
            chip.append(icon(FILE));
        }
        const about = made("span", "about");
        about.append(made("span", "name", file.name), made("span", "note", problem ?? (file.size === null ? "" : bytes(file.size))));
        if (!id && !problem) {
            one.bar = made("progress");
            one.bar.setAttribute("value", one.share);
            one.bar.setAttribute("aria-label", `Uploading ${file.name}`);
            about.append(one.bar);
        }
        chip.append(about, button(`Remove ${file.name}`, () => this.#remove(one), { name: "bare small", picture: CROSS }));
        return chip;
    }
}

function draft(key) {
    return `switchboard-draft-${key}`;
}
