// What the page's own scripts and the extensions' may use: where things are, and when they change.
// Ids: tabs, tab_txt2img, tab_img2img, mode_img2img, img2img_image, img2maskimg, settings_json, lightboxModal, and of each tab TAB_prompt,
// TAB_generate, TAB_interrupt, TAB_skip, TAB_gallery, TAB_gallery_container, TAB_generation_info_button, html_info_TAB.
// Callbacks: onUiLoaded, onUiUpdate(mutations), onAfterUiUpdate, onUiTabChange, onOptionsAvailable, onOptionsChanged.

var opts = {};
var pageEvents = { loaded: [], update: [], afterUpdate: [], tabChange: [], available: [], changed: [] };
var uiCurrentTab = null;

const onUiLoaded = (callback) => { pageEvents.loaded.push(callback); };
const onUiUpdate = (callback) => { pageEvents.update.push(callback); };
const onAfterUiUpdate = (callback) => { pageEvents.afterUpdate.push(callback); };
const onUiTabChange = (callback) => { pageEvents.tabChange.push(callback); };
const onOptionsChanged = (callback) => { pageEvents.changed.push(callback); };
const onOptionsAvailable = (callback) => { Object.keys(opts).length ? callback() : pageEvents.available.push(callback); };

function gradioApp() {
    const app = document.querySelector("gradio-app");
    if (app) app.getElementById = (id) => document.getElementById(id);
    return app || document;
}

function tellAll(event, ...values) {
    for (const callback of pageEvents[event]) {
        try {
            callback(...values);
        } catch (error) {
            console.error(`a callback for ${event} failed:`, error);
        }
    }
}

function get_uiCurrentTab() {
    return gradioApp().querySelector("#tabs > .tab-nav > button.selected");
}

function get_uiCurrentTabContent() {
    return [...gradioApp().querySelectorAll("#tabs > .tabitem")].find((item) => item.style.display !== "none");
}

/** The callbacks of onAfterUiUpdate, 200 ms after the last change of the page (or of this call). */
function scheduleAfterUiUpdateCallbacks() {
    clearTimeout(scheduleAfterUiUpdateCallbacks.timer);
    scheduleAfterUiUpdateCallbacks.timer = setTimeout(() => tellAll("afterUpdate"), 200);
}

/** gradio notices a value that a script has set. */
function updateInput(target) {
    target.dispatchEvent(Object.defineProperty(new Event("input", { bubbles: true }), "target", { value: target }));
}

function set_theme(theme) {
    if (!location.search.includes("__theme")) location.replace(`${location.href}?__theme=${theme}`);
}

document.addEventListener("DOMContentLoaded", () => {
    let loaded = false;
    new MutationObserver((mutations) => {
        if (!loaded && gradioApp().querySelector("#txt2img_prompt")) {
            loaded = true;
            tellAll("loaded");
        }
        tellAll("update", mutations);
        scheduleAfterUiUpdateCallbacks();
        const tab = get_uiCurrentTab();
        if (tab && tab !== uiCurrentTab) {
            uiCurrentTab = tab;
            tellAll("tabChange");
        }
    }).observe(gradioApp(), { childList: true, subtree: true });
});

// Settings, whenever the hidden text box with them changes.
let settingsText = null;
onAfterUiUpdate(() => {
    const text = gradioApp().querySelector("#settings_json textarea")?.value;
    if (!text || text === settingsText) return;
    const first = settingsText === null;
    settingsText = text;
    opts = JSON.parse(text);
    if (first) tellAll("available");
    tellAll("changed");
});

// Texts in the chosen language.
onUiUpdate(() => {
    if (!Object.keys(window.localization || {}).length) return;
    const texts = document.createTreeWalker(gradioApp(), NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const other = window.localization[texts.currentNode.textContent.trim()];
        if (other) texts.currentNode.textContent = other;
    }
});

// The accordions whose header is a checkbox: a click opens and checks; the checkbox alone only checks or unchecks.
function inputAccordionChecked(id, checked) {
    const accordion = gradioApp().querySelector(`#${id}`);
    if (accordion.visibleCheckbox.checked !== checked) accordion.check(checked, true);
}

onUiLoaded(() => gradioApp().querySelectorAll(".input-accordion").forEach((accordion) => {
    const header = accordion.querySelector(".label-wrap"), value = gradioApp().querySelector(`#${accordion.id}-checkbox input`);
    const box = Object.assign(document.createElement("input"), { type: "checkbox", id: `${accordion.id}-visible-checkbox` });
    const isOpen = () => header.classList.contains("open");
    let together = true;            // until the checkbox itself was clicked
    box.className = `${value.className} input-accordion-checkbox`;
    box.checked = isOpen();
    header.querySelector("span").prepend(box);
    accordion.visibleCheckbox = box;
    accordion.check = (checked, open) => {
        box.checked = checked;
        if (open && together && isOpen() !== checked) header.click();
        if (value.checked !== checked) {
            value.checked = checked;
            updateInput(value);
        }
    };
    accordion.onChecked = (checked) => accordion.check(checked, true);
    box.addEventListener("click", (event) => {
        event.stopPropagation();
        accordion.check(box.checked, true);
        together = false;
    });
    new MutationObserver(() => together && accordion.check(isOpen(), false)).observe(header, { attributeFilter: ["class"] });
}));
