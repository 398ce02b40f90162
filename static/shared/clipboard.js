// Copying, and saying so on the button that was pressed.

const SAID_MS = 1500;

export async function copy(text, pressed) {
    try {
        await navigator.clipboard.writeText(text);
    } catch {
        if (!copyOldWay(text)) return tell(pressed, "Not copied");
    }
    return tell(pressed, "Copied");
}

// Where the clipboard is not to be had (plain HTTP).
function copyOldWay(text) {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
}

function tell(pressed, sentence) {
    document.getElementById("status").textContent = sentence;
    if (!pressed || pressed.dataset.said) return;
    pressed.dataset.said = sentence;
    setTimeout(() => delete pressed.dataset.said, SAID_MS);
}
