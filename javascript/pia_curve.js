"use strict";
/**
 * The arithmetic of the affinity curve, without a page and without the other scripts: points where it bends, and the numbers of
 * all frames.
 *
 * @typedef {{frame: number, value: number}} Point   a place where the curve bends; straight lines lie between points
 */
var piaCurve = (() => {
    const SNAP = 0.05, DIGITS = 3, SAME = 0.0006;

    /** The points that are enough to draw `values` (one per frame) exactly. @returns {Point[]} */
    function pointsOf(values) {
        const last = values.length - 1;
        const bends = (frame) => Math.abs(values[frame - 1] + values[frame + 1] - 2 * values[frame]) > 1e-5;
        return values.map((value, frame) => ({ frame, value })).filter(({ frame }) => frame === 0 || frame === last || bends(frame));
    }

    /** One number per frame from points that include the first and the last frame. @returns {number[]} */
    function valuesOf(points, frames) {
        const values = [];
        for (let frame = 0; frame < frames; frame++) {
            const right = points.findIndex((point) => point.frame >= frame);
            const b = points[right], a = points[right - 1] || b;
            const part = b.frame === a.frame ? 0 : (frame - a.frame) / (b.frame - a.frame);
            values.push(rounded(a.value + (b.value - a.value) * part));
        }
        return values;
    }

    /** Points with one more at `frame`, on the curve; the same points if there is one already. @returns {Point[]} */
    function added(points, frame, frames) {
        if (points.some((point) => point.frame === frame)) return points;
        const more = [...points, { frame, value: valuesOf(points, frames)[frame] }];
        return more.sort((a, b) => a.frame - b.frame);
    }

    /** Points without the one at `index`; the ends stay. @returns {Point[]} */
    function removed(points, index) {
        return index === 0 || index === points.length - 1 ? points : points.filter((_, other) => other !== index);
    }

    /** Points with the one at `index` moved: between its neighbours, inside 0..1, the ends only up and down. @returns {Point[]} */
    function moved(points, index, frame, value, snap) {
        const inner = index > 0 && index < points.length - 1;
        const place = inner ? clamp(frame, points[index - 1].frame + 1, points[index + 1].frame - 1) : points[index].frame;
        const stepped = snap ? Math.round(value / SNAP) * SNAP : value;
        return points.map((point, other) => (other === index ? { frame: place, value: rounded(clamp(stepped, 0, 1)) } : point));
    }

    /**
     * The affinity of every frame of a file: `values` are those of the clip's own frames, of which interpolation made `frames`,
     * and ping-pong appended the inner ones backwards. @returns {number[]}
     */
    function overFile(values, frames, pingPong) {
        const forward = pingPong ? Math.floor((frames + 2) / 2) : frames, last = Math.max(forward - 1, 1);
        return Array.from({ length: frames }, (_, frame) => {
            const at = (frame < forward ? frame : 2 * (forward - 1) - frame) / last * (values.length - 1);
            const low = Math.floor(at), high = Math.min(low + 1, values.length - 1);
            return values[low] + (values[high] - values[low]) * (at - low);
        });
    }

    function clamp(value, low, high) {
        return Math.min(Math.max(value, low), high);
    }

    function rounded(value) {
        return Number(value.toFixed(DIGITS));
    }

    function same(a, b) {
        return a.length === b.length && a.every((value, index) => Math.abs(value - b[index]) < SAME);
    }

    /** Text of the field "Affinity". */
    function text(values) {
        return values.map(String).join(", ");
    }

    return { pointsOf, valuesOf, added, removed, moved, overFile, rounded, same, text };
})();
