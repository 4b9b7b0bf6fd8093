"use strict";
/**
 * What all parts of the panel "Animate (PIA)" share: the panels on the page, gradio's components in them, requests, words, and
 * the one list of parts. The panel works without these scripts; they add the curve, the player and the notices.
 * The host loads a folder's scripts in the order of their names, this one first; two names are global: `pia` and `piaCurve`.
 *
 * What they use of the host's page is listed in lib_pia/host/contract.py (PAGE_FUNCTIONS, PAGE_VARIABLES, PAGE_ELEMENTS), and of its
 * InputAccordion ID the elements ID, ID-checkbox and ID-visible-checkbox.
 *
 * @typedef {{tab: string, part: function(string): HTMLElement}} Panel   one per tab, "img2img" or "txt2img"
 */
var pia = (() => {
    const SVG = "http://www.w3.org/2000/svg";
    const tabs = ["img2img", "txt2img"];
    const parts = new Map();            // name -> {needs, build}
    const listeners = { changed: [], answered: [] };

    /** `text` in the page's language; {0}, {1} ... are replaced by `values` afterwards. */
    function words(text, ...values) {
        const translated = (window.localization || {})[text] || text;
        return translated.replace(/\{(\d)\}/g, (_, index) => String(values[index]));
    }

    /** Sets attributes; functions become listeners of the event named so. */
    function dress(node, attributes) {
        for (const [name, value] of Object.entries(attributes)) {
            if (typeof value === "function") node.addEventListener(name, value);
            else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : String(value));
        }
        return node;
    }

    /** A new HTML element; children are nodes or texts, never markup. */
    function make(tag, attributes = {}, ...children) {
        const node = dress(document.createElement(tag), attributes);
        node.append(...children);
        return node;
    }

    /** A new SVG element. */
    function draw(tag, attributes = {}, ...children) {
        const node = dress(document.createElementNS(SVG, tag), attributes);
        node.append(...children);
        return node;
    }

    function button(text, action, attributes = {}) {
        return make("button", { type: "button", class: "pia-button", click: action, ...attributes }, text);
    }

    /** Address of a path of this server; the host may be served under a sub-path. */
    function address(path) {
        const root = String((window.gradio_config || {}).root || "").replace(/\/+$/, "");
        return root ? `${root}/${path}` : path;
    }

    function fileAddress(path) {
        return address("file=" + path.split("/").map(encodeURIComponent).join("/"));
    }

    /** The page's key, which stands in for a password that the page does not know. */
    function pageKey() {
        const holder = gradioApp().querySelector("[data-pia-key]");
        return holder ? holder.dataset.piaKey : "";
    }

    /** JSON of a route of the extension; POST when there is a body. Rejects with an Error that holds one sentence. */
    async function call(path, body, method = body === undefined ? "GET" : "POST") {
        const asked = { method, headers: { "X-PIA-Page": pageKey() }, credentials: "same-origin" };
        if (body !== undefined) {
            asked.headers["Content-Type"] = "application/json";
            asked.body = JSON.stringify(body);
        }
        let answer;
        try {
            answer = await fetch(address(`pia/v1/${path}`), asked);
        } catch (error) {
            throw new Error(words("The WebUI does not answer; check that it is running."));
        }
        const values = await answer.json().catch(() => null);
        if (answer.ok) return values;
        const detail = values && typeof values.detail === "string" ? values.detail : "";
        throw new Error(detail || words("The WebUI answered with error {0}.", answer.status));
    }

    /** A picture that a route of the extension gives. */
    async function picture(path) {
        const answer = await fetch(address(`pia/v1/${path}`), { headers: { "X-PIA-Page": pageKey() }, credentials: "same-origin" });
        if (answer.ok) return answer.blob();
        const values = await answer.json().catch(() => ({}));
        throw new Error(values.detail || words("The WebUI answered with error {0}.", answer.status));
    }

    /** `action` once, `wait` milliseconds after the last of several calls. */
    function later(action, wait) {
        let timer = null;
        return (...values) => {
            clearTimeout(timer);
            timer = setTimeout(() => action(...values), wait);
        };
    }

    /**
     * What gradio's component holds, as text: a text box, number, slider or dropdown its text, a radio the chosen value, check
     * boxes the places of those that are ticked ("0,1"), a picture its address.
     */
    function read(panel, name) {
        const root = panel.part(name);
        if (!root) return "";
        const radios = root.querySelectorAll("input[type=radio]");
        if (radios.length) return ([...radios].find((radio) => radio.checked) || { value: "" }).value;
        const boxes = [...root.querySelectorAll("input[type=checkbox]")];
        if (boxes.length) return boxes.flatMap((box, index) => (box.checked ? [index] : [])).join();
        if (root.classList.contains("gradio-image")) return (root.querySelector("img") || { src: "" }).src;
        if (root.querySelector(".file-preview")) return root.querySelector(".file-preview").textContent;
        const field = root.querySelector("input[type=number], textarea, input:not([type=file])");
        return field ? field.value : "";
    }

    /** Sets a component as a user would, so that gradio's backend sees it. */
    function write(panel, name, value) {
        const root = panel.part(name);
        if (!root || read(panel, name) === String(value)) return;
        const radios = [...root.querySelectorAll("input[type=radio]")];
        if (radios.length) {
            const wanted = radios.find((radio) => radio.value === String(value));
            if (wanted) wanted.click();
            return;
        }
        const field = root.querySelector("input[type=number], textarea, input");
        if (!field) return;
        field.value = String(value);
        updateInput(field);
    }

    function isEnabled(panel) {
        const box = gradioApp().querySelector(`#${panel.tab}_pia_enabled-checkbox input`);
        return Boolean(box && box.checked);
    }

    function isShown(panel) {
        const chart = panel.part("chart");
        return Boolean(chart && chart.offsetParent);
    }

    /** Ticks the panel's header, as a click on its box does. */
    function enable(panel) {
        const box = gradioApp().getElementById(`${panel.tab}_pia_enabled-visible-checkbox`);
        if (box && !isEnabled(panel)) box.click();
    }

    /** Opens a fold of the panel. */
    function open(panel, fold) {
        const header = panel.part(`${fold}_fold`).querySelector(".label-wrap");
        if (!header.classList.contains("open")) header.click();
    }

    /**
     * A part of every panel: `build(panel, built)` is called once per panel when the page is there, after the parts named in
     * `needs`, whose results are in `built`. One that fails leaves the others alone, but for those that need it.
     */
    function add(name, needs, build) {
        parts.set(name, { needs, build });
    }

    function buildParts(panel) {
        const built = {};
        const waiting = new Map(parts);
        for (let before = -1; before !== waiting.size;) {
            before = waiting.size;
            for (const [name, { needs, build }] of waiting) {
                if (!needs.every((need) => need in built)) continue;
                waiting.delete(name);
                try {
                    built[name] = build(panel, built) || {};
                } catch (error) {
                    console.error(`PIA: the part "${name}" is missing:`, error);
                }
            }
        }
        for (const [name, { needs }] of waiting) console.error(`PIA: the part "${name}" needs ${needs.filter((need) => !(need in built))}.`);
    }

    /** `action(value)` whenever gradio says that a component of the panel changed ("changed"), or that a frame is there ("answered"). */
    function on(event, panel, action) {
        listeners[event].push({ tab: panel.tab, action });
    }

    function tell(event, tab, value) {
        for (const listener of listeners[event].filter((one) => one.tab === tab)) listener.action(value);
    }

    function panels() {
        return tabs.map((tab) => ({ tab, part: (name) => gradioApp().querySelector(`#${tab}_pia_${name}`) }))
            .filter((panel) => panel.part("chart"));
    }

    onUiLoaded(() => panels().forEach(buildParts));

    return { words, make, draw, dress, button, address, fileAddress, call, picture, later, read, write, isEnabled, isShown, enable, open, add, on,
        changed: (tab) => tell("changed", tab), answered: (tab, value) => tell("answered", tab, value) };
})();
