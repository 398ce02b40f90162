// The dialog in which an agent is chosen; searched where there are many.

import { made } from "../shared/dom.js";

const FEW = 6;

export class Picker {
    // `pick(agent)` is called.
    constructor({ dialog, search, list }, pick) {
        Object.assign(this, { dialog, search, list, pick });
        dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
        search.addEventListener("input", () => this.#draw());
        search.addEventListener("keydown", (event) => {
            if (event.key !== "Enter" || event.isComposing) return;
            event.preventDefault(); // or it would press what has the focus once the dialog is closed
            list.querySelector("button")?.click();
        });
    }

    show(agents, current) {
        Object.assign(this, { agents, current });
        this.search.value = "";
        this.search.hidden = agents.length < FEW;
        this.#draw();
        this.dialog.showModal();
    }

    #draw() {
        const words = this.search.value.trim().toLowerCase();
        const found = this.agents.filter(({ name, display_name: shown, description }) => `${name} ${shown} ${description}`.toLowerCase().includes(words));
        this.list.replaceChildren(...found.map((agent) => this.#choice(agent)));
        if (!found.length) this.list.append(made("li", "note", "Nothing was found."));
    }

    #choice(agent) {
        const item = made("li");
        const choice = made("button", "choice");
        choice.type = "button";
        const picture = made("span", "avatar", agent.avatar || agent.display_name.charAt(0).toUpperCase());
        picture.setAttribute("aria-hidden", "true");
        const about = made("span", "about");
        about.append(made("span", "name", agent.display_name), made("span", "note", agent.status === "running" ? agent.description : "Stopped"));
        choice.append(picture, about);
        if (agent.name === this.current.name) choice.setAttribute("aria-current", "true");
        choice.addEventListener("click", () => {
            this.dialog.close();
            this.pick(agent);
        });
        item.append(choice);
        return item;
    }
}
