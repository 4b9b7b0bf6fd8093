"use strict";
/** What stands between a person and a clip, said before Generate is pressed; and the download of the PIA model. */
pia.add("notice", [], (panel) => {
    const { words, make, button } = pia;
    const RUNNING = ["downloading", "checking", "converting"];
    const state = { watching: false, asked: "", started: false };
    const beforeLook = [];

    const model = make("p", { class: "pia-warning" });
    const checkpoint = make("p", { class: "pia-warning" });
    const half = make("input", { type: "checkbox", checked: true });
    const start = button(words("Download pia.ckpt (1.7 GB)"), () => begin(), { class: "pia-button pia-primary" });
    const cancel = button(words("Cancel"), () => act("download/cancel", {}), { hidden: true });
    const link = make("a", { href: "https://huggingface.co/Leoxing/PIA", target: "_blank", rel: "noopener noreferrer" }, "Leoxing/PIA");
    const bar = make("progress", { max: 1, hidden: true, "aria-label": words("Download") });
    const message = make("p", { class: "pia-message", role: "status", "aria-live": "polite" });
    const offer = make("div", { class: "pia-row", hidden: true }, start, cancel,
        make("label", { class: "pia-row" }, half, make("span", {}, words("store it in half precision"))), link);
    const holder = panel.part("notice").querySelector("[data-pia-key]");
    const root = make("div", { class: "pia-notice" }, model, offer, bar, message, checkpoint);
    holder.replaceChildren(root);

    function tell(element, sentence) {
        if (element.textContent !== (sentence || "")) element.textContent = sentence || "";
        element.hidden = !sentence;
    }

    // ---- what is missing

    async function look() {
        state.asked = pia.read(panel, "model");
        beforeLook.forEach((action) => action());
        try {
            const answer = await pia.call(`status?model=${encodeURIComponent(state.asked)}`);
            tell(model, answer.model_missing ? words("There is no PIA model yet. Download it here, or put pia.ckpt into {0} and press the refresh button.",
                answer.folder) : answer.model);
            tell(checkpoint, answer.checkpoint);
            link.href = answer.page;
            offer.hidden = !answer.model_missing && !state.watching;
            if (answer.model_missing && !state.started) watch();
        } catch (error) {
            tell(model, error.message);
        }
    }

    // ---- the download

    async function act(path, body) {
        try {
            show(await pia.call(path, body));
        } catch (error) {
            tell(message, error.message);
        }
    }

    async function begin() {
        tell(message, "");
        await act("download", { half: half.checked });
        watch();
    }

    /** Shows the download until it ends; another tab may have started it. */
    async function watch() {
        state.started = true;
        if (state.watching) return;
        state.watching = true;
        try {
            let answer = await pia.call("download");
            show(answer);
            while (RUNNING.includes(answer.state)) {
                await new Promise((resolve) => setTimeout(resolve, 500));
                answer = await pia.call("download");
                show(answer);
                if (answer.state === "done") finished(answer.name);
            }
        } catch (error) {
            tell(message, error.message);
        } finally {
            state.watching = false;
        }
    }

    function show(download) {
        const running = RUNNING.includes(download.state);
        start.disabled = running;
        cancel.hidden = download.state !== "downloading";
        bar.hidden = !running;
        if (download.total) bar.value = download.done / download.total;
        else bar.removeAttribute("value");
        tell(message, sentence(download));
    }

    function sentence(download) {
        const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
        if (download.state === "failed") return download.error;
        if (download.state === "downloading") return words("Downloading: {0} of {1} MB", megabytes(download.done), megabytes(download.total));
        return { checking: words("Checking the file ..."), converting: words("Checking and converting the file ...") }[download.state] || "";
    }

    function finished(name) {
        tell(message, words("{0} is ready.", name));
        const refresh = panel.part("model_refresh");
        if (refresh) refresh.click();
        look();
    }

    // ---- when to look again

    const lookAgain = pia.later(look, 200);
    pia.on("changed", panel, () => {
        if (pia.read(panel, "model") !== state.asked) lookAgain();
    });
    for (const event of ["click", "focusin"]) panel.part("enabled").addEventListener(event, lookAgain);
    onOptionsChanged(lookAgain);
    const answer = gradioApp().getElementById(`html_info_${panel.tab}`);
    if (answer) new MutationObserver(lookAgain).observe(answer, { childList: true, subtree: true });
    look();

    return { root, beforeLook };
});
