// ‹ 2/3 ›: which of several messages stands here.

import { button, made } from "../shared/dom.js";

// `others`: {list, at}; `choose` is given the one that is wanted.
export function switcher(what, { list, at }, choose) {
    const element = made("span", "switcher");
    const step = (label, to, path) => {
        const arrow = button(label, () => choose(list[to]), { name: "bare small", picture: [path] });
        arrow.disabled = !list[to];
        return arrow;
    };
    element.append(
        step(`Previous ${what}`, at - 1, "m14 7-5 5 5 5"),
        made("span", "", `${at + 1}/${list.length}`),
        step(`Next ${what}`, at + 1, "m10 7 5 5-5 5"),
    );
    return element;
}
