"use strict";
/**
 * The affinity curve: a chart of the numbers that will be used, one per frame, with points that can be dragged.
 * The numbers come from the server (POST pia/v1/affinity); what is drawn here goes into the field "Affinity", one number per frame.
 */
pia.add("chart", [], (panel) => {
    const { words, make, draw } = pia;
    const BOX = { width: 640, height: 230, left: 46, right: 14, top: 26, bottom: 24 };      // pixels; the width follows the page
    const FIELDS = ["num_frames", "motion", "magnitude", "affinity", "condition_frame"];
    const state = { values: [], points: [], fields: "", motion: "animate", dragged: -1, asked: 0, about: "", wrong: false };

    const plot = draw("svg", { class: "pia-plot", viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "group",
        "aria-label": words("Affinity of every frame") });
    const message = make("p", { class: "pia-message", role: "status", "aria-live": "polite" });
    const reset = pia.button(words("Reset curve"), () => resetCurve(), { class: "pia-button pia-reset" });
    const hint = make("p", { class: "pia-hint" }, words("Drag a point. Double-click adds or removes one. Arrow keys move the chosen point, Insert adds, "
        + "Delete removes, Shift snaps to 0.05."));
    const tools = make("div", { class: "pia-row pia-curve-tools" }, reset);
    panel.part("chart").append(make("div", { class: "pia-chart" }, plot, message, tools, hint));

    // ---- where things are

    function x(frame) {
        return BOX.left + (BOX.width - BOX.left - BOX.right) * frame / Math.max(state.values.length - 1, 1);
    }

    function y(value) {
        return BOX.top + (BOX.height - BOX.top - BOX.bottom) * (1 - value);
    }

    /** Frame (whole) and value under a mouse or touch event. */
    function place(event) {
        const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());
        const frame = Math.round((at.x - BOX.left) / (BOX.width - BOX.left - BOX.right) * (state.values.length - 1));
        const value = 1 - (at.y - BOX.top) / (BOX.height - BOX.top - BOX.bottom);
        return { frame: Math.min(Math.max(frame, 0), state.values.length - 1), value };
    }

    // ---- drawing

    function render(focused = -1) {
        BOX.width = Math.max(plot.clientWidth, 240);
        plot.setAttribute("viewBox", `0 0 ${BOX.width} ${BOX.height}`);
        plot.replaceChildren(...grid(), curveLine(), conditionMark(), ...state.values.map(dot), ...state.points.map(handle));
        if (focused >= 0 && plot.querySelectorAll(".pia-point")[focused]) plot.querySelectorAll(".pia-point")[focused].focus();
    }

    function grid() {
        const lines = [0, 0.25, 0.5, 0.75, 1].map((value) => draw("line", { class: "pia-grid", x1: BOX.left, x2: BOX.width - BOX.right,
            y1: y(value), y2: y(value) }));
        const numbers = [0, 0.5, 1].map((value) => draw("text", { class: "pia-axis", x: BOX.left - 12, y: y(value) + 4, "text-anchor": "end" },
            value.toFixed(1)));
        const ends = [[1, -12, words("stays like the picture")], [0, -5, words("moves freely")]].map(([value, shift, label]) =>
            draw("text", { class: "pia-axis pia-axis-word", x: BOX.width - BOX.right - 4, y: y(value) + shift, "text-anchor": "end" }, label));
        return [...lines, ...numbers, ...frameNumbers(), ...ends];
    }

    function frameNumbers() {
        const last = state.values.length - 1, step = [1, 2, 3, 5, 10, 20, 50].find((size) => size * BOX.width / last > 36) || 100, shown = [];
        for (let frame = 0; frame <= last; frame += step) {
            shown.push(draw("text", { class: "pia-axis", x: x(frame), y: BOX.height - 8, "text-anchor": "middle" }, String(frame)));
        }
        return shown;
    }

    function curveLine() {
        return draw("polyline", { class: "pia-line", points: state.values.map((value, frame) => `${x(frame)},${y(value)}`).join(" ") });
    }

    /** A line at the frame that equals the picture. */
    function conditionMark() {
        const chosen = Number(pia.read(panel, "condition_frame")) || 0, frames = state.values.length;
        const frame = chosen < 0 ? chosen + frames : chosen;
        return frame >= 0 && frame < frames
            ? draw("line", { class: "pia-condition", x1: x(frame), x2: x(frame), y1: BOX.top, y2: BOX.height - BOX.bottom }) : draw("g");
    }

    function dot(value, frame) {
        return draw("circle", { class: "pia-dot", cx: x(frame), cy: y(value), r: 2.5 });
    }

    function handle(point, index) {
        return draw("circle", { class: "pia-point", cx: x(point.frame), cy: y(point.value), r: 7, tabindex: 0, role: "slider",
            "aria-valuemin": 0, "aria-valuemax": 1, "aria-valuenow": point.value, "aria-orientation": "vertical",
            "aria-label": words("Affinity of frame {0}", point.frame), "data-frame": point.frame,
            pointerdown: (event) => grab(event, index), mousedown: (event) => pressed(event, index), keydown: (event) => key(event, index) },
        draw("title", {}, `${point.frame}: ${point.value}`));
    }

    // ---- drawing by hand

    /** Takes the points over: into the chart, the field "Affinity" and Motion. */
    function use(points, frames, focused = -1) {
        state.points = points;
        state.values = piaCurve.valuesOf(points, frames);
        say("");
        render(focused);
        if (state.dragged < 0) publish();
    }

    function publish() {
        pia.write(panel, "affinity", piaCurve.text(state.values));
        pia.write(panel, "motion", "custom");
        state.fields = fields();
    }

    function grab(event, index) {
        if (event.button > 0) return;
        state.dragged = index;
        plot.setPointerCapture(event.pointerId);
        plot.classList.add("pia-dragging");
    }

    /** A second press on a point removes it. The browser has no double-click for it, because drawing replaces the point. */
    function pressed(event, index) {
        if (event.detail !== 2) return;
        state.dragged = -1;
        state.removing = true;
        use(piaCurve.removed(state.points, index), state.values.length);
    }

    plot.addEventListener("pointerdown", () => {
        state.removing = false;
    }, true);

    plot.addEventListener("pointermove", (event) => {
        if (state.dragged < 0) return;
        const { frame, value } = place(event);
        use(piaCurve.moved(state.points, state.dragged, frame, value, event.shiftKey), state.values.length);
        state.touched = true;
    });

    function release() {
        if (state.dragged < 0) return;
        const focused = state.dragged;
        state.dragged = -1;
        plot.classList.remove("pia-dragging");
        if (!state.touched) return;
        state.touched = false;
        publish();
        render(focused);
    }
    plot.addEventListener("pointerup", release);
    plot.addEventListener("pointercancel", release);
    plot.addEventListener("lostpointercapture", release);

    plot.addEventListener("dblclick", (event) => {
        event.preventDefault();
        if (state.values.length > 1 && !state.removing) use(piaCurve.added(state.points, place(event).frame, state.values.length), state.values.length);
    });

    function key(event, index) {
        const point = state.points[index], step = event.shiftKey ? 0.05 : 0.01, frames = state.values.length;
        const up = { ArrowUp: step, ArrowDown: -step, PageUp: 0.1, PageDown: -0.1, Home: -1, End: 1 }[event.key];
        const near = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (up !== undefined) {
            use(piaCurve.moved(state.points, index, point.frame, point.value + up, event.shiftKey), frames, index);
        } else if (near !== undefined && event.altKey) {
            use(piaCurve.moved(state.points, index, point.frame + near, point.value, false), frames, index);
        } else if (near !== undefined) {
            render(Math.min(Math.max(index + near, 0), state.points.length - 1));
        } else if (event.key === "Insert" || event.key === "+") {
            const next = state.points[index + 1] || point;
            use(piaCurve.added(state.points, Math.floor((point.frame + next.frame) / 2), frames), frames, index);
        } else if (event.key === "Delete" || event.key === "Backspace") {
            use(piaCurve.removed(state.points, index), frames, Math.max(index - 1, 0));
        } else {
            return;
        }
        event.preventDefault();
        event.stopPropagation();
    }

    function resetCurve() {
        pia.write(panel, "affinity", "");
        pia.write(panel, "motion", state.motion);
        follow();
    }

    // ---- following the fields

    function fields() {
        return JSON.stringify(FIELDS.map((name) => pia.read(panel, name)));
    }

    /** A sentence under the chart: it stands until the numbers that it is about change, `wrong` until they can be used. */
    function say(sentence, wrong = false) {
        message.textContent = sentence;
        state.about = pia.read(panel, "affinity");
        state.wrong = wrong;
    }

    /** The person chose a motion: a table has no use for the numbers, and "custom" needs some. */
    function motionChosen() {
        const motion = pia.read(panel, "motion");
        if (motion !== "custom") {
            state.motion = motion;
            pia.write(panel, "affinity", "");
        } else if (!pia.read(panel, "affinity").trim() && state.values.length) {
            pia.write(panel, "affinity", piaCurve.text(state.values));
        }
    }

    /** The person typed numbers: Motion follows. */
    function numbersTyped() {
        const typed = pia.read(panel, "affinity").trim() !== "";
        if (typed !== (pia.read(panel, "motion") === "custom")) pia.write(panel, "motion", typed ? "custom" : state.motion);
    }

    panel.part("motion").addEventListener("change", motionChosen);
    panel.part("affinity").addEventListener("input", (event) => {
        if (event.isTrusted) numbersTyped();
    });

    /** Asks the server for the numbers, if the fields are others than those on the chart. */
    async function follow() {
        if (state.dragged >= 0 || !pia.isShown(panel) || fields() === state.fields) return;
        if (pia.read(panel, "affinity").trim()) pia.write(panel, "motion", "custom");        // numbers always count
        state.fields = fields();
        const asked = ++state.asked;
        try {
            const answer = await pia.call("affinity", request());
            if (asked !== state.asked) return;
            if (state.wrong || pia.read(panel, "affinity") !== state.about) say("");
            if (piaCurve.same(answer.affinity, state.values)) return render(focusedPoint());
            state.values = answer.affinity.map(piaCurve.rounded);
            state.points = piaCurve.pointsOf(state.values);
            render(focusedPoint());
        } catch (error) {
            if (asked === state.asked) say(error.message, true);
        }
    }

    function focusedPoint() {
        return [...plot.querySelectorAll(".pia-point")].indexOf(document.activeElement);
    }

    function request() {
        const affinity = pia.read(panel, "affinity").trim(), motion = pia.read(panel, "motion");
        return { num_frames: Number(pia.read(panel, "num_frames")), motion, magnitude: pia.read(panel, "magnitude"),
            affinity: affinity || null, condition_frame: Number(pia.read(panel, "condition_frame")) };
    }

    new ResizeObserver(() => {              // the panel was opened, or is wider now
        if (state.dragged < 0 && state.values.length && plot.clientWidth) render(focusedPoint());
        follow();
    }).observe(plot);
    pia.on("changed", panel, pia.later(follow, 50));
    follow();

    return { tools, say, useCurve: (values) => use(piaCurve.pointsOf(values.map(piaCurve.rounded)), values.length) };
});
