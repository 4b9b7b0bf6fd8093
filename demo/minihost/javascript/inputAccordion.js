// ui_components.InputAccordion: the accordion's header gets a checkbox that follows it, and both set gradio's hidden checkbox.

function inputAccordionChecked(id, checked) {
    const accordion = gradioApp().getElementById(id);
    Object.assign(accordion.visibleCheckbox, { checked });
    accordion.onVisibleCheckboxChange();
}

function setupAccordion(accordion) {
    const header = accordion.querySelector(".label-wrap");
    const hidden = gradioApp().querySelector(`#${accordion.id}-checkbox input`);
    const extra = gradioApp().querySelector(`#${accordion.id}-extra`);
    const isOpen = () => header.classList.contains("open");
    let linked = true;              // until the checkbox itself is clicked, opening means checking

    const box = document.createElement("input");
    box.type = "checkbox";
    box.id = `${accordion.id}-visible-checkbox`;
    box.className = `${hidden.className} input-accordion-checkbox`;
    box.checked = isOpen();
    header.querySelector("span").prepend(box);
    if (extra) header.insertBefore(extra, header.lastElementChild);

    accordion.visibleCheckbox = box;
    accordion.onChecked = (checked) => {
        if (isOpen() !== checked) header.click();
    };
    accordion.onVisibleCheckboxChange = () => {
        if (linked && isOpen() !== box.checked) header.click();
        hidden.checked = box.checked;
        updateInput(hidden);
    };
    box.addEventListener("click", (event) => {
        linked = false;
        event.stopPropagation();
    });
    box.addEventListener("input", accordion.onVisibleCheckboxChange);
    new MutationObserver(() => {
        const open = isOpen();
        accordion.classList.toggle("input-accordion-open", open);
        if (linked) {
            box.checked = open;
            accordion.onVisibleCheckboxChange();
        }
    }).observe(header, { attributes: true, attributeFilter: ["class"] });
}

onUiLoaded(() => gradioApp().querySelectorAll(".input-accordion").forEach(setupAccordion));
