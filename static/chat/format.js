// Numbers and days as people read them.

export function duration(ms) {
    if (ms == null) return "";
    if (ms < 1000) return `${Math.round(ms)} ms`;
    return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

export function cost(usd) {
    if (usd == null) return "";
    if (usd === 0) return "$0";
    return usd < 0.01 ? `$${usd.toFixed(5).replace(/0+$/, "")}` : `$${usd.toFixed(2)}`;
}

export function bytes(size) {
    if (size < 1024) return `${size} B`;
    return size < 1_048_576 ? `${Math.round(size / 1024)} KB` : `${Number((size / 1_048_576).toFixed(1))} MB`;
}

// The heading that a conversation of this time stands under.
export function day(text, now = new Date()) {
    const date = new Date(text);
    const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate());
    const days = Math.ceil((midnight - date) / 86_400_000);
    if (days <= 0) return "Today";
    if (days === 1) return "Yesterday";
    if (days <= 7) return "Previous 7 days";
    if (days <= 30) return "Previous 30 days";
    return date.toLocaleDateString("en", { month: "long", year: "numeric" });
}

export function plain(markdown) {
    return markdown.replace(/[`*_#>|]+/g, " ").replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/\s+/g, " ").trim();
}
