"use strict";
/** The player under the gallery: the last clips, the controls of the stage, and what can be done with a clip or a frame. */
pia.add("player", ["stage", "ruler"], (panel, { stage, ruler }) => {
    const { words, make, button } = pia;
    const ORDER = ["mp4", "webm", "webp", "apng", "gif", "png", "attention.mp4"], SPEEDS = [0.25, 0.5, 1, 2];
    const state = { clips: [], files: [], wanted: null };

    // ---- what is on the page; what changes with every frame is a value, not a node

    const number = make("input", { class: "pia-number", readonly: true, tabindex: -1, "aria-label": words("Frame") });
    const play = button(words("Pause"), toggle);
    const loop = button(words("Loop"), () => stage.set({ loop: !stage.state.loop }), { "aria-pressed": "true" });
    const speed = choice(words("Speed"), SPEEDS.map((value) => [value, `${value}x`]), (value) => stage.set({ speed: Number(value) }));
    const format = choice(words("Format"), [], (index) => showFile(Number(index)));
    const compare = make("input", { type: "range", min: 0, max: 100, value: 0, "aria-label": words("Compare with the picture"),
        input: () => stage.compare(Number(compare.value)) });
    const compared = make("label", { class: "pia-row" }, make("span", {}, words("Compare with the picture")), compare);
    const download = make("a", { class: "pia-button", download: "" }, words("Download"));
    const goOn = button(words("Continue"), () => continueClip(), { title: words("The next clip goes on from the last frames of this one.") });
    const condition = panel.part("send_condition") ? [button(words("Use as condition picture"), () => send("condition"),
        { title: words("Puts the frame that is shown into img2img, to be animated; the settings stay.") })] : [];
    const sends = ["img2img", "inpaint", "extras"].filter((target) => panel.part(`send_${target}`))
        .map((target) => button(words(`Frame to ${target}`), () => send(target)));
    const message = make("p", { class: "pia-message", role: "status", "aria-live": "polite" });
    const list = make("div", { class: "pia-clips", role: "list", "aria-label": words("Last clips") });
    const root = make("section", { class: "pia-player", "aria-label": words("Player"), keydown: key }, stage.root, ruler.root,
        make("div", { class: "pia-row" }, stepper("◂", -1, words("Previous frame")), play, stepper("▸", 1, words("Next frame")), number, loop, speed,
            format),
        compared, make("div", { class: "pia-row" }, goOn, ...condition, download, ...sends), message, list);
    panel.part("player").append(root);
    speed.querySelector("select").value = "1";

    function stepper(sign, by, label) {
        return button(sign, () => stage.step(stage.state.frame + by), { "aria-label": label, title: label });
    }

    /** A labelled drop-down list. @param {Array<[*, string]>} options */
    function choice(label, options, action) {
        const select = make("select", { class: "pia-select", change: () => action(select.value) });
        fill(select, options);
        return make("label", { class: "pia-row" }, make("span", {}, label), select);
    }

    function fill(select, options) {
        select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
    }

    function say(sentence) {
        if (message.textContent !== sentence) message.textContent = sentence;
    }

    stage.failed = say;
    stage.changed = () => {
        const { frame, playing, file, loop: loops } = stage.state;
        ruler.seek.value = frame;
        number.value = file ? words("Frame {0} (0 to {1})", frame, stage.frames() - 1) : "";
        const word = playing ? words("Pause") : words("Play");
        if (play.firstChild.data !== word) play.firstChild.data = word;
        if (loop.getAttribute("aria-pressed") !== String(loops)) loop.setAttribute("aria-pressed", String(loops));
    };
    ruler.seek.addEventListener("input", () => stage.step(Number(ruler.seek.value)));

    // ---- the list of clips

    /** Fetches the list; shows the newest clip if it is new. */
    async function refresh() {
        try {
            take(await pia.call("clips"));
        } catch (error) {
            say(error.message);
        }
    }

    function take(clips) {
        const known = new Set(state.clips.map((clip) => clip.id));
        const newest = clips.find((clip) => clip.tab === panel.tab) || clips[0];
        const stays = clips.some((clip) => stage.state.clip && clip.id === stage.state.clip.id);
        state.clips = clips;
        panel.part("player").classList.toggle("pia-hidden", !clips.length);
        if (!clips.length) stage.pause();
        else if (!stays || !known.has(newest.id)) return showClip(newest);
        return drawList();
    }

    function drawList() {
        const current = stage.state.clip;
        list.replaceChildren(...state.clips.map((clip) => {
            const file = clip.files[0] || {}, name = words("Clip {0}", clip.id), away = words("Take clip {0} off the list", clip.id);
            return make("span", { role: "listitem", class: "pia-clip" },
                button(name, () => showClip(clip), { "aria-pressed": String(Boolean(current) && clip.id === current.id),
                    title: `${file.frames}, ${file.width}x${file.height}\n${clip.infotext}` }),
                button("×", () => remove(clip), { "aria-label": away, title: away }));
        }));
    }

    async function remove(clip) {
        try {
            take(await pia.call(`clips/${clip.id}`, undefined, "DELETE"));
        } catch (error) {
            say(error.message);
        }
    }

    /** @param {Clip} clip */
    function showClip(clip) {
        clip.files = clip.files.filter((file) => file.path);
        state.files = [...new Map(clip.files.map((file) => [file.format, file])).values()]
            .filter((file) => ORDER.includes(file.format))
            .sort((a, b) => ORDER.indexOf(a.format) - ORDER.indexOf(b.format));
        fill(format.querySelector("select"), state.files.map((file, index) => [index, file.format.toUpperCase()]));
        compared.hidden = !clip.picture;
        compare.value = 0;
        if (state.files.length) showFile(0, clip);
        drawList();
    }

    function showFile(index, clip = stage.state.clip) {
        const file = state.files[index];
        stage.show(clip, file);
        stage.compare(Number(compare.value));
        ruler.show(piaCurve.overFile(file.affinity || [1], stage.frames(), clip.infotext.includes("PIA ping-pong: True")));
        download.href = pia.fileAddress(file.path);
        download.setAttribute("download", file.path.split(/[\\/]/).pop());
        say("");
    }

    // ---- controls

    function toggle() {
        if (stage.state.playing) stage.pause();
        else stage.play();
    }

    /** Keys where the focus is on no control that has a use for them. */
    function key(event) {
        const on = event.target.tagName, slider = event.target.type === "range";
        if (event.ctrlKey || event.altKey || event.metaKey || on === "SELECT") return;
        const last = stage.frames() - 1, { frame } = stage.state;
        const to = { ArrowLeft: frame - 1, ArrowDown: frame - 1, ArrowRight: frame + 1, ArrowUp: frame + 1, Home: 0, End: last }[event.key];
        if (event.key === " " && on !== "BUTTON" && on !== "A") toggle();
        else if (to !== undefined && !slider) stage.step(to);
        else return;
        event.preventDefault();
    }

    function continueClip() {
        pia.write(panel, "continue_from", `clip:${stage.state.clip.id}`);
        pia.enable(panel);
        pia.open(panel, "longer");
        say(words("The next clip goes on from clip {0}.", stage.state.clip.id));
    }

    // ---- a frame on its way elsewhere, by the host's own paste button, once the server has loaded it

    function send(target) {
        stage.step(stage.state.frame);
        state.wanted = { target, frame: `${stage.state.clip.id}:${stage.state.frame}` };
        say(words("Fetching the frame ..."));
        pia.write(panel, "frame", state.wanted.frame);
        panel.part("fetch").click();
    }

    pia.on("answered", panel, (ready) => {
        const { wanted } = state;
        state.wanted = null;
        if (!wanted || ready !== wanted.frame) return say(wanted ? ready : "");
        say("");
        panel.part(`send_${wanted.target}`).click();
        if (wanted.target === "condition") pia.enable({ tab: "img2img" });
        return undefined;
    });

    // ---- when a generation has ended

    const look = pia.later(refresh, 300);
    for (const id of [`${panel.tab}_gallery`, `html_info_${panel.tab}`]) {
        const element = gradioApp().getElementById(id);
        if (element) new MutationObserver(look).observe(element, { childList: true, subtree: true });
    }
    // and when the host's buttons say so, should the page miss the answer
    const interrupt = gradioApp().getElementById(`${panel.tab}_interrupt`);
    if (interrupt) new MutationObserver(look).observe(interrupt, { attributes: true, attributeFilter: ["style"] });
    refresh();
});
