// Dresses HTML of answers: each block is written from the left or the right as its first letter says; over code stand its language and a copy button.

import { copy } from "./clipboard.js";
import { button, made } from "./dom.js";

export function dressed(part) {
    for (const block of part.children) block.dir = "auto";
    for (const code of part.querySelectorAll("pre > code")) {
        const pre = code.parentElement;
        const frame = made("div", "code");
        const bar = made("div", "code-bar");
        const language = [...code.classList].find((name) => name.startsWith("language-"))?.slice(9) ?? "";
        bar.append(made("span", "", language), button("Copy", (event) => copy(code.textContent, event.currentTarget), { name: "bare small" }));
        pre.replaceWith(frame);
        pre.dir = "ltr";
        frame.append(bar, pre);
    }
}
