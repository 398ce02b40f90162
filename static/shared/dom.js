// Making elements. Text goes in as text; HTML only where a module says why it may.

export function made(tag, name = "", text = "") {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text) element.textContent = text;
    return element;
}

export function icon(...paths) {
    const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    for (const [name, value] of Object.entries({ viewBox: "0 0 24 24", width: 20, height: 20, "aria-hidden": true })) picture.setAttribute(name, value);
    for (const path of paths) {
        const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
        line.setAttribute("d", path);
        picture.append(line);
    }
    return picture;
}

// A button that does something; with an icon alone, `label` is what it is called.
export function button(label, act, { name = "", picture = null, title = "" } = {}) {
    const element = made("button", name);
    element.type = "button";
    if (picture) {
        element.append(icon(...picture));
        element.setAttribute("aria-label", label);
        element.title = title || label;
    } else {
        element.textContent = label;
    }
    element.addEventListener("click", act);
    return element;
}

// Makes `list` have exactly these children in this order, moving as few as possible: what stays keeps focus, selection and state.
export function place(list, wanted) {
    const keep = new Set(wanted);
    for (const child of [...list.children]) if (!keep.has(child)) child.remove();
    wanted.forEach((element, number) => {
        if (list.children[number] !== element) list.insertBefore(element, list.children[number] ?? null);
    });
}
