// The buttons of the two tabs: Generate with its progress bar and preview, sending between tabs, and the large view of a picture.

function all_gallery_buttons() {
    return [...gradioApp().querySelectorAll("[id$=_gallery] .thumbnail-item.thumbnail-small")].filter((item) => item.offsetParent);
}

function selected_gallery_index() {
    return all_gallery_buttons().findIndex((item) => item.classList.contains("selected"));
}

function extract_image_from_gallery(gallery) {
    return [gallery[Math.max(selected_gallery_index(), 0)] ?? null];
}

function pressTab(of, name) {
    [...gradioApp().querySelectorAll(`#${of} > .tab-nav > button`)].find((button) => button.textContent.trim() === name).click();
}

function switch_to_txt2img(...values) {
    pressTab("tabs", "txt2img");
    return values;
}

function switch_to_img2img(...values) {
    pressTab("tabs", "img2img");
    pressTab("mode_img2img", "img2img");
    return values;
}

function switch_to_inpaint(...values) {
    pressTab("tabs", "img2img");
    pressTab("mode_img2img", "Inpaint");
    return values;
}

function get_tab_index(id) {
    const buttons = [...gradioApp().querySelectorAll(`#${id} > .tab-nav > button`)];
    return Math.max(0, buttons.findIndex((button) => button.classList.contains("selected")));
}

/** Bar above the gallery and preview over it until the task is done (or, after `patience` seconds, was never begun). */
async function requestProgress(id_task, container, gallery, atEnd, patience = 40) {
    const bar = Object.assign(document.createElement("div"), { className: "progressDiv", innerHTML: "<div class='progress'></div>" });
    const preview = Object.assign(document.createElement("div"), { className: "livePreview" });
    container.before(bar);
    let seen = false, known = -1;
    try {
        for (const began = Date.now(); ;) {
            const answer = await (await fetch("./internal/progress", {
                method: "POST", headers: { "Content-Type": "application/json" },
                body: JSON.stringify({ id_task, id_live_preview: known, live_preview: true }) })).json();
            seen = seen || answer.active;
            const idle = !answer.active && !answer.queued;
            if (answer.completed || (idle && (seen || Date.now() - began > 1000 * patience))) break;
            const percent = Math.round(100 * (answer.progress || 0));
            bar.firstChild.style.width = `${percent}%`;
            bar.firstChild.textContent = `${answer.textinfo || ""} ${percent ? `${percent}%` : ""}`.trim();
            known = answer.id_live_preview;
            if (answer.live_preview) {
                preview.innerHTML = `<img src="${answer.live_preview}">`;
                gallery.append(preview);
            }
            await new Promise((resolve) => setTimeout(resolve, opts.live_preview_refresh_period || 500));
        }
    } finally {
        bar.remove();
        preview.remove();
        atEnd();
    }
}

function startTask(tab, values) {
    const part = (name) => gradioApp().querySelector(`#${tab}_${name}`), task = `task(${Math.random().toString(36).slice(2)})`;
    const stop = (shown) => ["interrupt", "skip"].forEach((name) => { part(name).style.display = shown ? "block" : "none"; });
    stop(true);
    requestProgress(task, part("gallery_container"), part("gallery"), () => stop(false));
    return [task, ...values.slice(1)];
}

function submit(...values) {
    return startTask("txt2img", values);
}

function submit_img2img(...values) {
    values[1] = get_tab_index("mode_img2img");
    return startTask("img2img", values);
}

onUiLoaded(() => ["txt2img", "img2img"].forEach((tab) => {
    const gallery = gradioApp().querySelector(`#${tab}_gallery`);
    gallery.addEventListener("click", () => setTimeout(() => gradioApp().querySelector(`#${tab}_generation_info_button`)?.click(), 100));
    gallery.addEventListener("click", (event) => {
        if (event.target.matches(".preview img") && opts.js_modal_lightbox) showModal(event.target.src);
    });
}));

function showModal(address) {
    const view = Object.assign(document.createElement("div"), { id: "lightboxModal" });
    view.append(Object.assign(document.createElement("img"), { id: "modalImage", src: address }));
    view.addEventListener("click", () => view.remove());
    gradioApp().append(view);
}

document.addEventListener("keydown", (event) => {
    const press = (name) => get_uiCurrentTabContent()?.querySelector(`button[id$=_${name}]`)?.click();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) press("generate");
    else if (event.key === "Escape") document.getElementById("lightboxModal") ? document.getElementById("lightboxModal").remove() : press("interrupt");
});
