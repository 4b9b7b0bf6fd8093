"use strict";
/** The ruler of the player: one place per frame, the affinity of each as a faint curve, and a slider over it. */
pia.add("ruler", [], () => {
    const { words, make } = pia;
    const EDGE = 5;                     // pixels: half of the slider's thumb, where the first and the last frame are
    const shown = { values: [] };

    const canvas = make("canvas", { class: "pia-ruler-curve", "aria-hidden": "true" });
    const seek = make("input", { type: "range", min: 0, max: 0, value: 0, class: "pia-seek", "aria-label": words("Frame") });
    const root = make("div", { class: "pia-ruler", title: words("The curve is the affinity of each frame.") }, canvas, seek);

    /** `values`: the affinity of every frame of the file that is shown. */
    function show(values) {
        shown.values = values;
        seek.max = Math.max(values.length - 1, 0);
        paint();
    }

    function paint() {
        const width = canvas.clientWidth, height = canvas.clientHeight, last = shown.values.length - 1;
        if (!width || last < 0) return;
        const scale = window.devicePixelRatio || 1;
        Object.assign(canvas, { width: Math.round(width * scale), height: Math.round(height * scale) });
        const pen = canvas.getContext("2d"), x = (frame) => EDGE + (width - 2 * EDGE) * frame / Math.max(last, 1);
        const y = (value) => 2 + (height - 6) * (1 - value);
        pen.scale(scale, scale);
        pen.fillStyle = pen.strokeStyle = getComputedStyle(root).getPropertyValue("--pia-line");
        pen.beginPath();
        shown.values.forEach((value, frame) => pen.lineTo(x(frame), y(value)));
        pen.globalAlpha = 0.6;
        pen.stroke();
        pen.lineTo(x(last), height);
        pen.lineTo(x(0), height);
        pen.globalAlpha = 0.12;
        pen.fill();
        pen.globalAlpha = 0.5;
        if (width / (last + 1) > 3) for (let frame = 0; frame <= last; frame++) pen.fillRect(x(frame) - 0.5, height - 4, 1, 4);
    }

    new ResizeObserver(paint).observe(root);
    return { root, seek, show };
});
