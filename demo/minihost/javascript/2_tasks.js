// The buttons of the two tabs: Generate with its progress bar, and sending between tabs.

function all_gallery_buttons() {
    return [...gradioApp().querySelectorAll("[id$=_gallery] .thumbnail-small")].filter((item) => item.offsetParent);
}
function selected_gallery_button() { return all_gallery_buttons().find(isSelected) ?? null; }
function selected_gallery_index() { return all_gallery_buttons().indexOf(selected_gallery_button()); }
function get_tab_index(id) { return Math.max(0, tabButtons(id).findIndex(isSelected)); }

function switch_to_txt2img() {
    tabButtons("tabs")[0].click();
    return [...arguments];
}
function switch_to_img2img_tab(number) {
    tabButtons("tabs")[1].click();
    tabButtons("mode_img2img")[number].click();
    return [...arguments].slice(1);
}
function switch_to_img2img() { return switch_to_img2img_tab(0, ...arguments); }
function switch_to_inpaint() { return switch_to_img2img_tab(1, ...arguments); }

/** Bar above the gallery until the task is done. */
async function requestProgress(id_task, container, gallery, atEnd, onProgress) {
    const bar = Object.assign(document.createElement("div"), { className: "progressDiv" });
    bar.innerHTML = "<div class='progress'></div>";
    container.before(bar);
    const headers = { "Content-Type": "application/json" };
    const asked = { method: "POST", headers, body: JSON.stringify({ id_task }) };
    for (;;) {
        const answer = await fetch("./internal/progress", asked).then((answer) => answer.json())
            .catch(() => ({ completed: true }));
        if (answer.completed) break;
        bar.firstChild.style.width = `${Math.round(100 * answer.progress)}%`;
        bar.firstChild.textContent = `${answer.textinfo || ""} ${bar.firstChild.style.width}`.trim();
        if (onProgress) onProgress(answer);
        await new Promise((resolve) => setTimeout(resolve, 500));
    }
    bar.remove();
    atEnd();
}

function submitted(tab, values) {
    const parts = ["gallery_container", "gallery"].map((name) => gradioApp().querySelector(`#${tab}_${name}`));
    values[0] = `task(${Math.random().toString(36).slice(2)})`;
    requestProgress(values[0], ...parts, () => {});
    return values;
}
function submit() { return submitted("txt2img", [...arguments]); }
function submit_img2img() {
    const values = submitted("img2img", [...arguments]);
    values[1] = get_tab_index("mode_img2img");
    return values;
}
