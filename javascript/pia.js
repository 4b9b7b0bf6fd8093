"use strict";
/**
 * What all parts of the panel "Animate (PIA)" share: the panels on the page, gradio's components in them, requests and words.
 * The panel works without these scripts; they add the curve, the player and the notices. One name is global: `pia`.
 *
 * @typedef {{tab: string, part: function(string): HTMLElement}} Panel   one per tab, "img2img" or "txt2img"
 */
var pia = (() => {
    const SVG = "http://www.w3.org/2000/svg";
    const tabs = ["img2img", "txt2img"];
    const builders = [];

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
    async function call(path, body) {
        const asked = { headers: { "X-PIA-Page": pageKey() }, credentials: "same-origin" };
        if (body !== undefined) {
            asked.method = "POST";
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

    /** Address of a picture that a route of the extension gives; to be revoked after use. */
    async function picture(path) {
        const answer = await fetch(address(`pia/v1/${path}`), { headers: { "X-PIA-Page": pageKey() }, credentials: "same-origin" });
        if (answer.ok) return URL.createObjectURL(await answer.blob());
        const values = await answer.json().catch(() => ({}));
        throw new Error(values.detail || words("The WebUI answered with error {0}.", answer.status));
    }

    /** What `look` gives as soon as it gives something, or "" after `limit` milliseconds. */
    async function until(look, limit = 30000) {
        for (const end = Date.now() + limit; Date.now() < end;) {
            const found = look();
            if (found) return found;
            await new Promise((resolve) => setTimeout(resolve, 50));
        }
        return "";
    }

    /** `action` once, `wait` milliseconds after the last of several calls. */
    function later(action, wait) {
        let timer = null;
        return (...values) => {
            clearTimeout(timer);
            timer = setTimeout(() => action(...values), wait);
        };
    }

    /** What gradio's component holds: the text of a text box, number, slider or dropdown, or the chosen value of a radio. */
    function read(panel, name) {
        const root = panel.part(name);
        if (!root) return "";
        const radios = root.querySelectorAll("input[type=radio]");
        if (radios.length) return ([...radios].find((radio) => radio.checked) || { value: "" }).value;
        const field = root.querySelector("input[type=number], textarea, input");
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

    /** `build(panel)` for every panel on the page, once it is there. One that fails leaves the others alone. */
    function onPanel(build) {
        builders.push(build);
    }

    function panels() {
        return tabs.map((tab) => ({ tab, part: (name) => gradioApp().querySelector(`#${tab}_pia_${name}`) }))
            .filter((panel) => panel.part("chart"));
    }

    onUiLoaded(() => {
        for (const panel of panels()) {
            for (const build of builders) {
                try {
                    build(panel);
                } catch (error) {
                    console.error("PIA: a part of the panel is missing:", error);
                }
            }
        }
    });

    return { words, make, draw, dress, button, address, fileAddress, call, picture, until, later, read, write, isEnabled, isShown, onPanel };
})();
