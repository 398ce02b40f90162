// Light or dark as chosen here, before anything is painted; else as the system says.
try {
    const chosen = localStorage.getItem("switchboard-theme");
    if (chosen) document.documentElement.dataset.theme = chosen;
} catch {
    // storage is blocked: as the system says
}
