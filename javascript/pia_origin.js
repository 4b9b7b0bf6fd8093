"use strict";
/** What the dropped picture's infotext has and the prompt lacks: trigger words and LoRA to add, and another checkpoint to know of. */
pia.add("origin", ["notice"], (panel, built) => {
    if (panel.tab !== "img2img") return undefined;
    const { words, make, button } = pia;
    const state = { picture: "", infotext: null, prompt: null, dismissed: false };

    const sentence = make("span");
    const add = button(words("Add to the prompt"), () => addMissing());
    const dismiss = button(words("Not now"), () => {
        state.dismissed = true;
        offer.hidden = true;
    });
    const offer = make("div", { class: "pia-row pia-offer", hidden: true, role: "status" }, sentence, add, dismiss);
    const checkpoint = make("p", { class: "pia-message", role: "status" });
    built.notice.root.append(offer, checkpoint);

    function promptField() {
        return gradioApp().querySelector("#img2img_prompt textarea");
    }

    /** The picture to animate as the page holds it (a data URL), or "". Gradio hides the image itself while its drawing surface shows it. */
    function picture() {
        const shown = [...gradioApp().querySelectorAll("#img2img_image, #img2maskimg")].find((component) => component.offsetParent);
        const image = shown && shown.querySelector("img[src^='data:']");
        return image ? image.src : "";
    }

    async function look() {
        const now = picture(), prompt = promptField() ? promptField().value : "";
        if (now !== state.picture) {
            Object.assign(state, { picture: now, infotext: null, prompt: null, dismissed: false });
            if (!now) return show({ missing: [], checkpoint: null });
        }
        if (!now || !pia.isEnabled(panel) || (state.prompt === prompt && state.infotext !== null) || state.infotext === "") return undefined;
        state.prompt = prompt;
        try {
            const answer = await pia.call("origin", state.infotext === null ? { picture: now, prompt } : { infotext: state.infotext, prompt });
            if (now !== state.picture) return undefined;
            state.infotext = answer.infotext;
            return show(answer);
        } catch (error) {
            state.infotext = "";
            return show({ missing: [], checkpoint: null });
        }
    }

    function show(answer) {
        state.missing = answer.missing;
        sentence.textContent = words("The picture was made with words that the prompt lacks: {0}", answer.missing.join(", "));
        offer.hidden = state.dismissed || !answer.missing.length;
        checkpoint.textContent = answer.checkpoint || "";
    }

    function addMissing() {
        const field = promptField(), before = field.value.trim().replace(/,$/, "");
        field.value = [before, ...state.missing].filter(Boolean).join(", ");
        updateInput(field);
        look();
    }

    built.notice.beforeLook.push(() => {            // the checkpoint may be another one now
        state.prompt = null;
        lookAgain();
    });
    const lookAgain = pia.later(() => (pia.isShown(panel) ? look() : undefined), 200);
    onAfterUiUpdate(lookAgain);
    pia.on("changed", panel, lookAgain);
    gradioApp().getElementById("img2img_prompt").addEventListener("input", lookAgain);
    new MutationObserver(lookAgain).observe(gradioApp().getElementById("mode_img2img"),
        { childList: true, subtree: true, attributes: true, attributeFilter: ["src"] });
    return {};
});
