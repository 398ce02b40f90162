// What screen readers are told: new text at the ends of sentences, politely (WS-75).

import { plain } from "./format.js";

const LONGEST_WAIT_MS = 4000;

export class Announcer {
    #text = "";
    #timer = 0;

    constructor(region) {
        this.region = region;
    }

    add(text) {
        this.#text += text;
        const end = Math.max(...[...this.#text.matchAll(/[.!?…:](?=\s)|\n/g)].map((match) => match.index + 1), 0);
        if (end) {
            this.#tell(this.#text.slice(0, end));
            this.#text = this.#text.slice(end);
        }
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.end(), LONGEST_WAIT_MS);
    }

    end() {
        clearTimeout(this.#timer);
        if (this.#text.trim()) this.#tell(this.#text);
        this.#text = "";
    }

    #tell(text) {
        const sentence = plain(text);
        if (sentence) this.region.textContent = sentence;
    }
}
