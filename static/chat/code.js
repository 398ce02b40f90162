// A bar with the language and a copy button over each piece of code.

import { button, made } from "../shared/dom.js";
import { copy } from "./clipboard.js";

export function dressed(part) {
    for (const code of part.querySelectorAll("pre > code")) {
        const pre = code.parentElement;
        const frame = made("div", "code");
        const bar = made("div", "code-bar");
        const language = [...code.classList].find((name) => name.startsWith("language-"))?.slice(9) ?? "";
        bar.append(made("span", "", language), button("Copy", (event) => copy(code.textContent, event.currentTarget), { name: "bare small" }));
        pre.replaceWith(frame);
        frame.append(bar, pre);
    }
}
