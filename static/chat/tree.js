// The messages of a conversation as the tree they are: edits and repeated answers branch off (AG-26). Pure.

export class Tree {
    constructor() {
        this.nodes = new Map();
        this.chosen = new Map();
    }

    get first() {
        return this.nodes.values().next().value ?? null;
    }

    // The newest messages, in the order of their places. Earlier ones that are loaded stay if these reach back to them; returns whether.
    take(messages) {
        const known = [...this.nodes.values()];
        const joint = known.findIndex(({ id }) => id === messages[0]?.id);
        const earlier = activeTo(messages.find(({ active }) => active), known.slice(0, Math.max(joint, 0)));
        this.nodes = new Map([...earlier, ...messages].map((node) => [node.id, node]));
        return joint > 0;
    }

    // Messages before all that are loaded.
    precede(messages) {
        this.nodes = new Map([...messages, ...this.nodes.values()].map((node) => [node.id, node]));
    }

    // Shows another one of the messages that have the same message before them.
    choose(id) {
        const node = this.nodes.get(id);
        if (node) this.chosen.set(this.#parent(node), id);
    }

    // A new message takes the place of this one: it is what is shown there.
    forgetChoicesBelow(id) {
        const node = id && this.nodes.get(id);
        if (node) this.chosen.delete(this.#parent(node));
        else this.chosen.clear();
    }

    // The branch that is shown, each message with those that could stand in its place.
    path() {
        const below = new Map();
        for (const node of this.nodes.values()) {
            const parent = this.#parent(node);
            below.set(parent, [...(below.get(parent) ?? []), node]);
        }
        const shown = [];
        let siblings = below.get(this.#root(below));
        while (siblings?.length && shown.length <= this.nodes.size) {
            const chosen = this.chosen.get(this.#parent(siblings[0]));
            const node = siblings.find(({ id }) => id === chosen) ?? siblings.findLast(({ active }) => active) ?? siblings.at(-1);
            shown.push({ node, siblings });
            siblings = below.get(node.id);
        }
        return shown;
    }

    // Whether what is shown is what goes on by itself.
    get isNewest() {
        return this.path().every(({ node }) => node.active);
    }

    #parent(node) {
        if (node.parent_id && this.nodes.has(node.parent_id)) return node.parent_id;
        return `before ${node.parent_id ?? "all"}`;
    }

    // Where the earliest messages that are loaded begin: with the active one among them, if there is one.
    #root(below) {
        const roots = [...below.keys()].filter((key) => key.startsWith("before "));
        return roots.find((key) => below.get(key).some(({ active }) => active)) ?? roots.at(-1);
    }
}

// Earlier messages may have been left since they were read: those go on that lead to `node`.
function activeTo(node, earlier) {
    let parent = node?.parent_id;
    for (const each of node ? earlier.toReversed() : []) {
        each.active = each.id === parent;
        if (each.active) parent = each.parent_id;
    }
    return earlier;
}

// Of messages that stand for each other: the different texts, and those with the same text (the same asked again).
export function variants(node, siblings) {
    const texts = [...new Set(siblings.map(key))];
    return {
        texts: texts.map((text) => siblings.findLast((other) => key(other) === text)),
        text: texts.indexOf(key(node)),
        again: siblings.filter((other) => key(other) === key(node)),
        at: siblings.filter((other) => key(other) === key(node)).indexOf(node),
    };
}

function key(node) {
    return JSON.stringify([node.content, (node.files ?? []).map((file) => file.attachment_id ?? file.name)]);
}
