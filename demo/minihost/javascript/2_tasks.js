// The buttons of the two tabs: Generate with its progress bar and preview, and sending between tabs.

function all_gallery_buttons() {
    return [...gradioApp().querySelectorAll("[id$=_gallery] .thumbnail-item.thumbnail-small")]
        .filter((item) => item.offsetParent);
}

function selected_gallery_button() {
    return all_gallery_buttons().find((item) => item.classList.contains("selected")) ?? null;
}

function selected_gallery_index() {
    return all_gallery_buttons().indexOf(selected_gallery_button());
}

function get_tab_index(id) {
    return Math.max(0, tabButtons(id).findIndex((button) => button.classList.contains("selected")));
}

function switch_to_txt2img() {
    tabButtons("tabs")[0].click();
    return [...arguments];
}

function switch_to_img2img_tab(number) {
    tabButtons("tabs")[1].click();
    tabButtons("mode_img2img")[number].click();
}

function switch_to_img2img() {
    switch_to_img2img_tab(0);
    return [...arguments];
}

function switch_to_inpaint() {
    switch_to_img2img_tab(1);
    return [...arguments];
}

function answerFor(path, body) {
    const asked = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    return fetch(path, asked).then((answer) => answer.json());
}

/** Bar above the gallery and preview over it until the task is done. */
async function requestProgress(id_task, container, gallery, atEnd, onProgress) {
    const [bar, preview] = ["progressDiv", "livePreview"].map(
        (className) => Object.assign(document.createElement("div"), { className }));
    bar.innerHTML = "<div class='progress'></div>";
    container.before(bar);
    let id_live_preview = -1;
    for (;;) {
        const answer = await answerFor("./internal/progress", { id_task, id_live_preview }).catch(() => ({ completed: true }));
        if (answer.completed) break;
        bar.firstChild.style.width = `${Math.round(100 * (answer.progress || 0))}%`;
        bar.firstChild.textContent = `${answer.textinfo || ""} ${bar.firstChild.style.width}`.trim();
        id_live_preview = answer.id_live_preview;
        if (answer.live_preview) {
            preview.innerHTML = `<img src="${answer.live_preview}">`;
            gallery.append(preview);
        }
        if (onProgress) onProgress(answer);
        await new Promise((resolve) => setTimeout(resolve, opts.live_preview_refresh_period || 500));
    }
    bar.remove();
    preview.remove();
    atEnd();
}

function showStopButtons(tab, display) {
    for (const name of ["interrupt", "skip"]) gradioApp().querySelector(`#${tab}_${name}`).style.display = display;
}

function startTask(tab, values) {
    const [container, gallery] = ["gallery_container", "gallery"].map(
        (name) => gradioApp().querySelector(`#${tab}_${name}`));
    values[0] = `task(${Math.random().toString(36).slice(2)})`;
    showStopButtons(tab, "block");
    requestProgress(values[0], container, gallery, () => showStopButtons(tab, "none"));
    return values;
}

function submit() {
    return startTask("txt2img", [...arguments]);
}

function submit_img2img() {
    const values = startTask("img2img", [...arguments]);
    values[1] = get_tab_index("mode_img2img");
    return values;
}

onUiLoaded(() => ["txt2img", "img2img"].forEach((tab) => showStopButtons(tab, "none")));
