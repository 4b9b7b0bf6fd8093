"use strict";
/**
 * The player of the last clips: plays files, steps through frames (GET pia/v1/frame), compares with the picture, sends frames on.
 *
 * @typedef {{format: string, path: string, mime: string, frames: number, fps: number, width: number, height: number}} ClipFile
 * @typedef {{id: number, tab: string, infotext: string, files: ClipFile[], picture: string}} Clip
 */
pia.onPanel((panel) => {
    const { words, make, button } = pia;
    const VIDEO = ["mp4", "webm"], ORDER = ["mp4", "webm", "webp", "apng", "gif", "png"];
    const SPEEDS = [0.25, 0.5, 1, 2], KEPT_PICTURES = 300;
    const state = { clips: [], clip: null, file: null, frame: 0, playing: false, loop: true, speed: 1, timer: null, seen: false, pictures: new Map() };

    // ---- what is on the page

    const video = make("video", { class: "pia-view", playsinline: true, preload: "auto" });
    video.muted = true;
    const still = make("img", { class: "pia-view", alt: words("Frame of the clip") });
    const picture = make("img", { class: "pia-view pia-picture", alt: words("The picture that was animated") });
    const stage = make("div", { class: "pia-stage" }, video, still, picture);
    // what changes with every frame is a value, not a node: the host's scripts wait for a document that stands still
    const number = make("input", { class: "pia-number", readonly: true, tabindex: -1, "aria-label": words("Frame") });
    const play = button(words("Play"), () => (state.playing ? pause() : start()));
    const seek = make("input", { type: "range", min: 0, max: 0, value: 0, class: "pia-seek", "aria-label": words("Frame"),
        input: () => step(Number(seek.value)) });
    const loop = button(words("Loop"), toggleLoop, { "aria-pressed": "true" });
    const speed = choice(words("Speed"), SPEEDS.map((value) => [value, `${value}x`]), (value) => setSpeed(Number(value)));
    const format = choice(words("Format"), [], (value) => showFile(Number(value)));
    const compare = make("input", { type: "range", min: 0, max: 100, value: 0, "aria-label": words("Compare with the picture"), input: wipe });
    const compared = make("label", { class: "pia-row" }, make("span", {}, words("Compare with the picture")), compare);
    const download = make("a", { class: "pia-button", download: "" }, words("Download"));
    const sends = ["img2img", "inpaint", "extras"].filter((target) => panel.part(`send_${target}`))
        .map((target) => button(words(`Frame to ${target}`), () => send(target)));
    const message = make("p", { class: "pia-message", role: "status", "aria-live": "polite" });
    const list = make("div", { class: "pia-clips", role: "list", "aria-label": words("Last clips") });
    const root = make("section", { class: "pia-player", hidden: true, "aria-label": words("Player") }, stage,
        make("div", { class: "pia-row" }, button("◂", () => step(state.frame - 1), { "aria-label": words("Previous frame"), title: words("Previous frame") }),
            play, button("▸", () => step(state.frame + 1), { "aria-label": words("Next frame"), title: words("Next frame") }), seek, number),
        make("div", { class: "pia-row" }, loop, speed, format, compared),
        make("div", { class: "pia-row" }, download, ...sends), message, list);
    panel.part("player").append(root);

    /** A labelled drop-down list. @param {Array<[*, string]>} options */
    function choice(label, options, action) {
        const select = make("select", { class: "pia-select", change: () => action(select.value) });
        fill(select, options);
        return make("label", { class: "pia-row" }, make("span", {}, label), select);
    }

    function fill(select, options) {
        select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
    }
    speed.querySelector("select").value = "1";

    // ---- the list of clips

    /** Fetches the list; shows the newest clip if it is new. */
    async function refresh() {
        try {
            const clips = await pia.call("clips");
            const newest = clips.find((clip) => clip.tab === panel.tab) || clips[0];
            const known = state.clips.some((clip) => newest && clip.id === newest.id);
            state.clips = clips;
            root.hidden = !clips.length;
            if (newest && (!known || !state.clip)) showClip(newest);
            else drawList();
        } catch (error) {
            message.textContent = error.message;
        }
    }

    function drawList() {
        list.replaceChildren(...state.clips.map((clip) => {
            const shown = state.clip && clip.id === state.clip.id, file = clip.files[0] || {};
            const name = words("Clip {0}", clip.id), numbers = `${file.frames}, ${file.width}x${file.height}`;
            return make("span", { role: "listitem" }, button(name, () => showClip(clip),
                { "aria-pressed": Boolean(shown) ? "true" : "false", title: `${numbers}\n${clip.infotext}` }));
        }));
    }

    /** @param {Clip} clip */
    function showClip(clip) {
        state.clip = clip;
        forget();
        clip.files = clip.files.filter((file) => file.path);
        const files = [...new Map(clip.files.map((file) => [file.format, file])).values()]
            .sort((a, b) => ORDER.indexOf(a.format) - ORDER.indexOf(b.format));
        state.shown = files;
        fill(format.querySelector("select"), files.map((file, index) => [index, file.format.toUpperCase()]));
        compared.hidden = !clip.picture;
        compare.value = 0;
        if (clip.picture) picture.src = pia.fileAddress(clip.picture);
        wipe();
        drawList();
        if (files.length) showFile(0);
    }

    /** Number of frames of the clip; as PNG it is one file per frame. */
    function frames() {
        if (!state.file) return 0;
        return state.file.format === "png" ? state.clip.files.filter((file) => file.format === "png").length : state.file.frames;
    }

    function showFile(index) {
        pause();
        state.file = state.shown[index];
        state.frame = 0;
        seek.max = Math.max(frames() - 1, 0);
        message.textContent = "";
        download.href = pia.fileAddress(state.file.path);
        download.setAttribute("download", state.file.path.split(/[\\/]/).pop());
        stage.style.aspectRatio = `${state.file.width} / ${state.file.height}`;
        if (isVideo()) video.src = download.href;
        else video.removeAttribute("src");
        start();
    }

    function isVideo() {
        return VIDEO.includes(state.file.format);
    }

    function view(which) {
        video.hidden = which !== video;
        still.hidden = which !== still;
    }

    // ---- playing

    /** A GIF, WebP or APNG plays by itself at its own speed, for ever; anything else it does is shown frame by frame. */
    function playsItself() {
        return !isVideo() && state.file.format !== "png" && state.speed === 1 && state.loop;
    }

    function start() {
        if (!state.file) return;
        state.playing = true;
        play.firstChild.data = words("Pause");
        run();
    }

    /** Plays on while the player can be seen; a hidden one neither plays nor decodes. */
    function run() {
        clearInterval(state.timer);
        if (!state.playing || !state.seen) return video.pause();
        if (isVideo()) {
            view(video);
            video.playbackRate = state.speed;
            video.loop = state.loop;
            if (video.ended || state.frame >= frames() - 1) video.currentTime = 0;
            video.play().catch(() => undefined);        // a player that was hidden meanwhile
        } else if (playsItself()) {
            view(still);
            still.src = download.href;
        } else if (state.frame >= frames() - 1) {
            state.frame = 0;
        }
        clearInterval(state.timer);
        if (!isVideo()) state.timer = setInterval(tick, 1000 / ((state.file.fps || 8) * state.speed));
        count();
    }
    for (const event of ["timeupdate", "ended"]) video.addEventListener(event, () => isVideo() && state.playing && tick());

    function pause() {
        const was = state.playing;
        state.playing = false;
        clearInterval(state.timer);
        play.firstChild.data = words("Play");
        video.pause();
        if (was && state.file && !isVideo()) step(state.frame);
    }

    function tick() {
        if (isVideo()) {
            state.frame = Math.min(Math.floor(video.currentTime * state.file.fps + 0.01), frames() - 1);
            if (video.ended && !state.loop) pause();
        } else if (state.frame >= frames() - 1 && !state.loop) {
            pause();
        } else {
            state.frame = (state.frame + 1) % frames();
            if (!playsItself()) showFrame();
        }
        count();
    }

    function count() {
        seek.value = state.frame;
        number.value = words("Frame {0} (0 to {1})", state.frame, frames() - 1);
    }

    /** Stops at a frame. */
    function step(frame) {
        if (!state.file) return;
        state.frame = Math.min(Math.max(frame, 0), frames() - 1);
        if (state.playing) {
            state.playing = false;
            pause();
        }
        if (isVideo()) {
            view(video);
            video.currentTime = (state.frame + 0.5) / state.file.fps;
        } else {
            showFrame();
        }
        count();
    }

    // ---- single frames of files that cannot be stepped

    async function showFrame() {
        const clip = state.clip, frame = state.frame;
        try {
            const source = await frameSource(clip.id, frame);
            if (state.clip !== clip || state.frame !== frame || (state.playing && playsItself())) return;
            view(still);
            still.src = source;
        } catch (error) {
            message.textContent = error.message;
        }
    }

    /** Address of a frame's picture, fetched once. */
    function frameSource(clip, frame) {
        const key = `${clip}:${frame}`;
        if (!state.pictures.has(key)) {
            if (state.pictures.size >= KEPT_PICTURES) forget();
            state.pictures.set(key, pia.picture(`frame/${clip}/${frame}`).catch((error) => {
                state.pictures.delete(key);
                throw error;
            }));
        }
        return state.pictures.get(key);
    }

    function forget() {
        for (const source of state.pictures.values()) source.then((address) => URL.revokeObjectURL(address), () => {});
        state.pictures.clear();
    }

    // ---- controls

    function toggleLoop() {
        state.loop = !state.loop;
        loop.setAttribute("aria-pressed", String(state.loop));
        if (state.playing) start();
    }

    function setSpeed(value) {
        state.speed = value;
        if (state.playing) start();
    }

    /** The picture covers the left part of the frame. */
    function wipe() {
        picture.hidden = compare.value === "0" || !state.clip || !state.clip.picture;
        picture.style.clipPath = `inset(0 ${100 - Number(compare.value)}% 0 0)`;
    }

    /** Hands the frame to another tab by the host's own paste button, once the server has loaded it. */
    async function send(target) {
        step(state.frame);
        const wanted = `${state.clip.id}:${state.frame}`;
        message.textContent = words("Fetching the frame ...");
        pia.write(panel, "frame_ready", "");
        pia.write(panel, "frame", wanted);
        panel.part("fetch").click();
        const ready = await pia.until(() => pia.read(panel, "frame_ready"));
        message.textContent = ready === wanted ? "" : ready || words("The frame did not arrive; try again.");
        if (ready === wanted) panel.part(`send_${target}`).click();
    }

    new IntersectionObserver((entries) => {
        state.seen = entries[entries.length - 1].isIntersecting;
        run();
    }).observe(stage);

    // ---- when a generation has ended

    const look = pia.later(refresh, 300);
    for (const id of [`${panel.tab}_gallery`, `html_info_${panel.tab}`]) {
        const element = gradioApp().getElementById(id);
        if (element) new MutationObserver(look).observe(element, { childList: true, subtree: true, characterData: true });
    }
    // and when the host's buttons say so, should the page miss the answer
    const interrupt = gradioApp().getElementById(`${panel.tab}_interrupt`);
    if (interrupt) new MutationObserver(look).observe(interrupt, { attributes: true, attributeFilter: ["style"] });
    refresh();
});
