// Checks a workflow while it is written: what is wrong, step by step, and the picture of what is right.
const place = document.querySelector("[data-workflow-check]");
const text = document.querySelector("textarea[data-workflow=definition]");
const at = (name) => place.querySelector(`[data-workflow=${name}]`);
let timer, latest = 0;

async function check() {
    const number = ++latest;
    const form = text.form;
    const body = new FormData();
    body.set("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
    body.set("definition", text.value);
    body.set("agent", form.elements.agent?.value ?? place.dataset.agent ?? "");
    const answer = await fetch(place.dataset.workflowCheck, { method: "POST", body });
    if (!answer.ok || number !== latest) return;
    show(await answer.json());
}

function show({ problems, picture }) {
    const list = at("problems");
    list.replaceChildren(...problems.map((problem) => Object.assign(document.createElement("li"), { textContent: problem })));
    list.hidden = !problems.length;
    at("state").textContent = problems.length ? `${problems.length} to mend` : "Fine";
    if (picture) at("picture").innerHTML = picture; // drawn by the server, every text of it escaped
    at("picture").classList.toggle("sb-flow-old", !picture);
}

function soon() {
    clearTimeout(timer);
    timer = setTimeout(check, 400);
}

function indent(event) {
    if (event.key !== "Tab" || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    text.setRangeText("  ", text.selectionStart, text.selectionEnd, "end");
    soon();
}

if (place && text) {
    text.addEventListener("input", soon);
    text.addEventListener("keydown", indent);
    text.form.elements.agent?.addEventListener?.("change", soon);
    check();
}
