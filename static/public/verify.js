// The e-mail step: an address, then the code that was sent to it.

export function verification(server, memory, done) {
    const [section, asking, giving] = ["verify", "ask-code", "give-code"].map((id) => document.getElementById(id));
    const [email, code] = ["email", "code"].map((id) => document.getElementById(id));
    let address = "";

    onSubmit(asking, async () => {
        if (!email.checkValidity()) return "Enter your e-mail address.";
        address = email.value.trim();
        await server.askCode(address);
        document.getElementById("sent-to").textContent = address;
        step(giving, code);
    });

    onSubmit(giving, async () => {
        const answer = await server.giveCode(address, code.value.trim());
        if (!answer.verified) {
            code.select();
            return answer.error === "code_expired" ? "This code has expired. Ask for a new one." : "This code is not right. Look at your mail again.";
        }
        memory.keep({ visitorToken: answer.session_token });
        section.hidden = true;
        await done();
    });

    document.getElementById("other-address").addEventListener("click", () => step(asking, email));

    function step(form, field) {
        asking.hidden = form !== asking;
        giving.hidden = form !== giving;
        code.value = "";
        for (const problem of section.querySelectorAll(".problem")) problem.textContent = "";
        field.focus();
    }

    return {
        show() {
            memory.keep({ visitorToken: undefined });
            section.hidden = false;
            step(asking, email);
        },
    };
}

// A form that does one thing at a time; what it returns, or is refused with, is its problem.
function onSubmit(form, act) {
    const problem = form.querySelector(".problem");
    const button = form.querySelector("[type=submit]");
    form.addEventListener("submit", async (event) => {
        event.preventDefault();
        if (button.disabled) return;
        button.disabled = true;
        problem.textContent = "";
        try {
            problem.textContent = (await act()) ?? "";
        } catch (error) {
            problem.textContent = error.message;
        } finally {
            button.disabled = false;
        }
    });
}
