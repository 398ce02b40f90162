// Copy buttons: <button data-copy="#id"> copies the text of the element.
document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    event.preventDefault();
    const source = document.querySelector(button.dataset.copy);
    try {
        await navigator.clipboard.writeText(source.textContent.trim());
        button.textContent = "Copied";
    } catch {
        getSelection().selectAllChildren(source);
        button.textContent = "Press Ctrl+C";
    }
});

// Forms that ask before they act: <form data-ask="Really?">.
document.addEventListener("submit", (event) => {
    const question = event.target.dataset.ask;
    if (question && !confirm(question)) event.preventDefault();
});
