"use strict";
/** The folds of the panel: each header says what in it differs from the default; the clip that is gone on from is named in its fold. */
pia.add("folds", [], (panel) => {
    const { words, make, button } = pia;
    const FORMATS = { gif: "GIF", mp4: "MP4", webp: "WebP", webm: "WebM", apng: "APNG", png: "PNG" };
    const fields = JSON.parse(panel.part("chart").querySelector("[data-pia-fields]").dataset.piaFields);
    const folds = new Map([...new Set(fields.map((field) => field.fold))].map((name) => {
        const text = document.createTextNode("");
        panel.part(`${name}_fold`).querySelector(".label-wrap span").append(make("span", { class: "pia-differs" }, text));
        return [name, text];
    }));

    const clip = document.createTextNode("");
    const goesOn = make("div", { class: "pia-row pia-goes-on", hidden: true }, make("span", {}, clip),
        button(words("Do not continue"), () => pia.write(panel, "continue_from", "")));
    if (panel.part("continue_from")) panel.part("continue_from").parentElement.before(goesOn);

    const model = fields.find((field) => field.name === "model");
    if (panel.part("model")) panel.part("model").addEventListener("focusout", (event) => {
        if (event.target.value === "") event.target.value = model.default;         // for gradio a blank is the default too
    });

    /** How the header names a field, or "" where it has its default. */
    function said(field) {
        const value = pia.read(panel, field.name), label = words(field.label);
        if (value === shownDefault(field)) return "";
        switch (field.kind) {
        case "bool": return value ? label : words("{0}: no", label);
        case "choices": return ticked(field.name).map((name) => FORMATS[name] || name).join(", ");
        case "choice": return field.name === "interpolate" ? `${value}x` : `${label} ${words(value)}`;
        case "int":
        case "number": return `${label} ${value}`;
        case "text": return value;
        default: return label;                          // curves, pictures and clips are too long to tell
        }
    }

    /** The default as `pia.read` would give it. */
    function shownDefault(field) {
        if (field.kind === "bool") return field.default ? "0" : "";
        if (field.kind === "choices") return names(field.name).flatMap((name, index) => (field.default.includes(name) ? [index] : [])).join();
        return String(field.default ?? "");
    }

    /** The texts of a group of check boxes, in the page's language where the host translated them. */
    function names(part) {
        return [...panel.part(part).querySelectorAll("label")].map((label) => label.textContent.trim());
    }

    function ticked(part) {
        const all = names(part);
        return pia.read(panel, part).split(",").filter(Boolean).map((index) => all[index]);
    }

    function update() {
        for (const [name, text] of folds) {
            const differs = fields.filter((field) => field.fold === name && panel.part(field.name)).map(said).filter(Boolean).join(", ");
            const now = differs && `: ${differs}`;
            if (text.data !== now) text.data = now;
        }
        const chosen = pia.read(panel, "continue_from");
        goesOn.hidden = !chosen;
        clip.data = chosen ? words("Goes on from clip {0}.", chosen.replace("clip:", "")) : "";
    }

    pia.on("changed", panel, pia.later(update, 50));
    update();
});
