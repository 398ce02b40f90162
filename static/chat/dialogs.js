// Questions to the user, and menus.

const dialog = document.getElementById("ask");
const [title, text, label, value, problem, no, yes] = [
    "#ask-title", ".text-of", "label", "#ask-value", ".problem", "button[value='']", "button[value=yes]",
].map((selector) => dialog.querySelector(selector));

// Resolves to what was entered ("" too), to true where nothing is asked for, to null when the user does not want to.
// `act(value)` is done before the dialog closes; a sentence that it throws is shown.
export function ask({ heading, about = "", field = "", given = "", lines = 1, most = 200, confirm, cancel = "Cancel", bad = false, act = async () => {} }) {
    title.textContent = heading;
    text.textContent = about;
    text.hidden = !about;
    label.textContent = field;
    label.hidden = value.hidden = !field;
    Object.assign(value, { value: given, rows: Math.max(lines, Math.min(4, Math.ceil(given.length / 42))), maxLength: most, readOnly: false });
    yes.textContent = confirm;
    yes.classList.toggle("danger", bad);
    no.textContent = cancel;
    problem.textContent = "";
    dialog.returnValue = "";
    dialog.showModal();
    if (field) value.select();
    return new Promise((done) => {
        const controller = new AbortController();
        const { signal } = controller;
        dialog.querySelector("form").addEventListener("submit", async (event) => {
            if (event.submitter !== yes) return;
            event.preventDefault();
            yes.disabled = true;
            problem.textContent = "";
            try {
                await act(value.value);
                dialog.close("yes");
            } catch (error) {
                problem.textContent = error.message;
            } finally {
                yes.disabled = false;
            }
        }, { signal });
        dialog.addEventListener("close", () => {
            controller.abort();
            done(dialog.returnValue === "yes" ? (field ? value.value : true) : null);
        }, { signal });
    });
}

value.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    yes.click();
});

// A picture, large.
const viewer = document.getElementById("viewer");

export function view(name, url) {
    const [image, link] = ["img", "a"].map((selector) => viewer.querySelector(selector));
    Object.assign(image, { src: url, alt: name });
    Object.assign(link, { href: url, download: name });
    viewer.showModal();
}

viewer.addEventListener("click", (event) => { if (!event.target.closest("a")) viewer.close(); });

let open = null;

// A menu that its button opens and shuts. `at`: a menu that several buttons share stands by the one that was pressed.
export function toggle(menu, pressed, at = false) {
    const again = open?.menu === menu && open.pressed === pressed;
    shut();
    if (again) return;
    menu.hidden = false;
    pressed.setAttribute("aria-expanded", "true");
    open = { menu, pressed };
    if (at) stand(menu, pressed);
    menu.querySelector("button, a")?.focus();
}

export function shut(back = false) {
    if (!open) return false;
    open.menu.hidden = true;
    open.pressed.setAttribute("aria-expanded", "false");
    if (back) open.pressed.focus();
    open = null;
    return true;
}

function stand(menu, pressed) {
    const { bottom, top, right } = pressed.getBoundingClientRect();
    const { offsetHeight: high, offsetWidth: wide } = menu;
    menu.style.top = `${bottom + high + 8 > innerHeight ? top - high - 4 : bottom + 4}px`;
    menu.style.left = `${Math.max(8, Math.min(right - wide, innerWidth - wide - 8))}px`;
}

addEventListener("pointerdown", (event) => {
    if (open && !open.menu.contains(event.target) && !open.pressed.contains(event.target)) shut();
});
addEventListener("keydown", (event) => {
    if (!open || !["ArrowDown", "ArrowUp", "Tab"].includes(event.key)) return;
    if (event.key === "Tab") return void shut();
    event.preventDefault();
    const items = [...open.menu.querySelectorAll("button, a")];
    const step = event.key === "ArrowDown" ? 1 : -1;
    items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus();
});
