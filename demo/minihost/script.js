// The page's helpers under the WebUI's names: where the app is, and when it has loaded or changed.

function gradioApp() {
    const app = document.querySelector("gradio-app");
    if (!app) return document;
    app.getElementById = (id) => document.getElementById(id);
    return app.shadowRoot || app;
}

function get_uiCurrentTab() {
    return gradioApp().querySelector("#tabs > .tab-nav")?.querySelector(":scope > .selected") ?? null;
}

function get_uiCurrentTabContent() {
    return [...gradioApp().querySelectorAll("#tabs > .tabitem")].find((tab) => tab.style.display !== "none");
}

var opts = {};
var uiUpdateCallbacks = [], uiAfterUpdateCallbacks = [], uiLoadedCallbacks = [], uiTabChangeCallbacks = [];
var optionsChangedCallbacks = [], optionsAvailableCallbacks = [];
var uiCurrentTab = null;

function onUiUpdate(callback) { uiUpdateCallbacks.push(callback); }
function onAfterUiUpdate(callback) { uiAfterUpdateCallbacks.push(callback); }
function onUiLoaded(callback) { uiLoadedCallbacks.push(callback); }
function onUiTabChange(callback) { uiTabChangeCallbacks.push(callback); }
function onOptionsChanged(callback) { optionsChangedCallbacks.push(callback); }
function onOptionsAvailable(callback) {
    if (Object.keys(opts).length) callback();
    else optionsAvailableCallbacks.push(callback);
}

function executeCallbacks(queue, arg) {
    for (const callback of queue) {
        try {
            callback(arg);
        } catch (error) {
            console.error("a callback failed:", error);
        }
    }
}

document.addEventListener("DOMContentLoaded", () => {
    let loaded = false, timer = null;
    const observer = new MutationObserver((records) => {
        if (!loaded && gradioApp().querySelector("#txt2img_prompt")) {
            loaded = true;
            executeCallbacks(uiLoadedCallbacks);
        }
        executeCallbacks(uiUpdateCallbacks, records);
        clearTimeout(timer);
        timer = setTimeout(() => executeCallbacks(uiAfterUpdateCallbacks), 200);
        const tab = get_uiCurrentTab();
        if (tab && tab !== uiCurrentTab) {
            uiCurrentTab = tab;
            executeCallbacks(uiTabChangeCallbacks);
        }
    });
    observer.observe(gradioApp(), { childList: true, subtree: true });
});

document.addEventListener("keydown", (event) => {
    const tab = get_uiCurrentTabContent();
    const press = (name) => tab && tab.querySelector(`button[id$=_${name}]`)?.click();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) press("generate");
    if (event.key === "Escape") press("interrupt");
});

function uiElementIsVisible(element) {
    return element === document || (getComputedStyle(element).display !== "none" && uiElementIsVisible(element.parentNode));
}
