// What the page's buttons call.

function set_theme(theme) {
    if (!location.href.includes("?__theme=")) location.replace(`${location.href}?__theme=${theme}`);
}

function updateInput(target) {
    const event = new Event("input", { bubbles: true });
    Object.defineProperty(event, "target", { value: target });
    target.dispatchEvent(event);
}

function all_gallery_buttons() {
    return [...gradioApp().querySelectorAll("div[id$=_gallery] .thumbnails > .thumbnail-item.thumbnail-small")].filter((item) => item.offsetParent);
}

function selected_gallery_button() {
    return all_gallery_buttons().find((item) => item.classList.contains("selected")) ?? null;
}

function selected_gallery_index() {
    return all_gallery_buttons().findIndex((item) => item.classList.contains("selected"));
}

function extract_image_from_gallery(gallery) {
    return [gallery[selected_gallery_index()] ?? gallery[0] ?? null];
}

function mhPressTab(name) {
    [...gradioApp().querySelectorAll("#tabs > .tab-nav > button")].find((button) => button.textContent.trim() === name).click();
}

function switch_to_txt2img() {
    mhPressTab("txt2img");
    return Array.from(arguments);
}

function switch_to_img2img_tab(no) {
    mhPressTab("img2img");
    gradioApp().querySelectorAll("#mode_img2img > .tab-nav > button")[no].click();
}

function switch_to_img2img() {
    switch_to_img2img_tab(0);
    return Array.from(arguments);
}

function switch_to_inpaint() {
    switch_to_img2img_tab(1);
    return Array.from(arguments);
}

function get_tab_index(tabId) {
    const buttons = [...gradioApp().querySelectorAll(`#${tabId} > .tab-nav > button`)];
    return Math.max(buttons.findIndex((button) => button.classList.contains("selected")), 0);
}

function showSubmitButtons(tab, show) {
    for (const name of ["interrupt", "skip"]) gradioApp().getElementById(`${tab}_${name}`).style.display = show ? "none" : "block";
}

function mhStartTask(tab, args) {
    const id = randomId();
    showSubmitButtons(tab, false);
    requestProgress(id, gradioApp().getElementById(`${tab}_gallery_container`), gradioApp().getElementById(`${tab}_gallery`),
        () => showSubmitButtons(tab, true));
    return [id, ...Array.from(args).slice(1)];
}

function submit() {
    return mhStartTask("txt2img", arguments);
}

function submit_img2img() {
    const args = mhStartTask("img2img", arguments);
    args[1] = [0, 2, 4, 5][get_tab_index("mode_img2img")];
    return args;
}

onUiLoaded(() => {
    for (const tab of ["txt2img", "img2img"]) {
        showSubmitButtons(tab, true);
        // the infotext below follows the selected picture
        gradioApp().getElementById(`${tab}_gallery`).addEventListener("click",
            () => setTimeout(() => gradioApp().getElementById(`${tab}_generation_info_button`)?.click(), 100));
    }
});

onAfterUiUpdate(() => {
    const area = gradioApp().querySelector("#settings_json textarea");
    if (!area || !area.value || area.value === onAfterUiUpdate.seen) return;
    const first = onAfterUiUpdate.seen === undefined;
    onAfterUiUpdate.seen = area.value;
    opts = JSON.parse(area.value);
    const queues = first ? [optionsAvailableCallbacks, optionsChangedCallbacks] : [optionsChangedCallbacks];
    queues.forEach((queue) => executeCallbacks(queue));
});

// Texts of the page in the chosen language: localizations/*.json of extensions.
onUiUpdate(() => {
    const words = window.localization || {};
    if (!Object.keys(words).length) return;
    const walker = document.createTreeWalker(gradioApp(), NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const translated = words[walker.currentNode.textContent.trim()];
        if (translated) walker.currentNode.textContent = translated;
    }
});

// Tooltips given by components.
onUiLoaded(() => {
    for (const component of (window.gradio_config?.components || [])) {
        const id = component.props?.elem_id, text = component.props?.webui_tooltip;
        if (id && text) gradioApp().getElementById(id)?.setAttribute("title", text);
    }
});
