"use strict";
/** Motion from a clip: a file dropped on the curve is measured by the server, as training measures clips, and becomes the curve. */
pia.add("reference", ["chart"], (panel, built) => {
    const { words, make, button } = pia;
    const LARGEST = 64 << 20;           // bytes that the server takes

    const input = make("input", { type: "file", accept: ".gif,.mp4,.webp,.webm,.png,.apng", class: "pia-hidden", tabindex: -1,
        "aria-hidden": "true", change: () => {
            measure(input.files[0]);
            input.value = "";
        } });
    const chart = panel.part("chart");
    const open = button(words("Motion from a clip"), () => input.click(),
        { title: words("Takes the motion of a GIF, MP4, WebP, WebM or APNG; you can also drop the file on the curve.") });
    built.chart.tools.append(open, input);

    function asDataUrl(file) {
        return new Promise((resolve, reject) => {
            const reader = new FileReader();
            reader.onload = () => resolve(reader.result);
            reader.onerror = () => reject(new Error(words("The file cannot be read.")));
            reader.readAsDataURL(file);
        });
    }

    async function measure(file) {
        if (!file) return;
        if (file.size > LARGEST) {
            built.chart.say(words("The clip has {0} MB; at most {1} MB can be measured, use a shorter or smaller one.", Math.ceil(file.size / 1e6),
                Math.floor(LARGEST / 1e6)));
            return;
        }
        open.disabled = true;
        built.chart.say(words("Measuring the motion ..."));
        try {
            const answer = await pia.call("affinity_of_clip", { clip: await asDataUrl(file), num_frames: Number(pia.read(panel, "num_frames")),
                condition_frame: Number(pia.read(panel, "condition_frame")) });
            built.chart.useCurve(answer.affinity);
            built.chart.say(words("Motion of {0}, {1} frames.", file.name, answer.frames));
        } catch (error) {
            built.chart.say(error.message);
        } finally {
            open.disabled = false;
        }
    }

    for (const name of ["dragenter", "dragover"]) {
        chart.addEventListener(name, (event) => {
            if (![...event.dataTransfer.types].includes("Files")) return;
            event.preventDefault();
            event.stopPropagation();
            chart.classList.add("pia-drop");
        });
    }
    chart.addEventListener("dragleave", () => chart.classList.remove("pia-drop"));
    chart.addEventListener("drop", (event) => {
        chart.classList.remove("pia-drop");
        if (!event.dataTransfer.files.length) return;
        event.preventDefault();
        event.stopPropagation();
        measure(event.dataTransfer.files[0]);
    });
});
