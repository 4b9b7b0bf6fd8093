// What the page's own scripts and the extensions' may use: where things are, and when they change.

var opts = {}, uiCurrentTab = null;
const events = { loaded: [], update: [], afterUpdate: [], tabChange: [], options: [] };

function onUiLoaded(callback) { events.loaded.push(callback); }
function onUiUpdate(callback) { events.update.push(callback); }
function onAfterUiUpdate(callback) { events.afterUpdate.push(callback); }
function onUiTabChange(callback) { events.tabChange.push(callback); }
function onOptionsChanged(callback) { events.options.push(callback); }

function gradioApp() {
    const app = document.querySelector("gradio-app");
    if (app) app.getElementById = (id) => document.getElementById(id);
    return app || document;
}

const tabButtons = (id) => [...gradioApp().querySelectorAll(`#${id} > .tab-nav > button`)];
const isSelected = (button) => button.classList.contains("selected");

function get_uiCurrentTab() { return tabButtons("tabs").find(isSelected); }
function get_uiCurrentTabContent() {
    return [...gradioApp().querySelectorAll("#tabs > .tabitem")].find((item) => item.style.display !== "none");
}

/** gradio notices a value that a script has set. */
function updateInput(target) {
    target.dispatchEvent(Object.defineProperty(new Event("input", { bubbles: true }), "target", { value: target }));
}

function tellAll(event, value) {
    for (const callback of events[event]) {
        try { callback(value); } catch (error) { console.error(`a callback for ${event} failed:`, error); }
    }
}

document.addEventListener("DOMContentLoaded", () => {
    let loaded = false, timer = null;
    new MutationObserver((mutations) => {
        if (!loaded && gradioApp().querySelector("#txt2img_prompt")) {
            loaded = true;
            tellAll("loaded");
        }
        tellAll("update", mutations);
        clearTimeout(timer);
        timer = setTimeout(() => tellAll("afterUpdate"), 200);
        if (get_uiCurrentTab() && get_uiCurrentTab() !== uiCurrentTab) {
            uiCurrentTab = get_uiCurrentTab();
            tellAll("tabChange");
        }
    }).observe(gradioApp(), { childList: true, subtree: true });
});

let seenSettings = "";
onAfterUiUpdate(() => {
    const text = gradioApp().querySelector("#settings_json textarea")?.value;
    if (!text || text === seenSettings) return;
    seenSettings = text;
    opts = JSON.parse(text);
    tellAll("options");
});

// The accordions whose header is a checkbox: opening checks, until the checkbox itself was clicked.
function inputAccordionChecked(id, checked) { gradioApp().querySelector(`#${id}`).check(checked, true); }

onUiLoaded(() => gradioApp().querySelectorAll(".input-accordion").forEach((accordion) => {
    const header = accordion.querySelector(".label-wrap");
    const value = gradioApp().querySelector(`#${accordion.id}-checkbox input`);
    const isOpen = () => header.classList.contains("open");
    const box = Object.assign(document.createElement("input"), {
        type: "checkbox", id: `${accordion.id}-visible-checkbox`, checked: isOpen(),
        className: `${value.className} input-accordion-checkbox`,
    });
    let together = true;
    header.querySelector("span").prepend(box);
    accordion.check = (checked, open) => {
        box.checked = checked;
        if (open && together && isOpen() !== checked) header.click();
        if (value.checked === checked) return;
        value.checked = checked;
        updateInput(value);
    };
    box.addEventListener("click", (event) => {
        event.stopPropagation();
        accordion.check(box.checked, true);
        together = false;
    });
    new MutationObserver(() => together && accordion.check(isOpen(), false))
        .observe(header, { attributeFilter: ["class"] });
}));
