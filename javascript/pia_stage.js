"use strict";
/**
 * Where a clip is seen: plays its files, and shows single frames of them (GET pia/v1/frame).
 * While it plays, no node or attribute of the document changes: the host's own scripts wait for a document that stands still.
 * While it cannot be seen it neither plays nor decodes.
 *
 * @typedef {{format: string, path: string, mime: string, frames: number, fps: number, width: number, height: number,
 *     affinity: number[]}} ClipFile
 * @typedef {{id: number, tab: string, infotext: string, files: ClipFile[], picture: string}} Clip
 */
pia.add("stage", [], () => {
    const { words, make } = pia;
    const VIDEO = ["mp4", "webm"], KEPT = 300;              // frames whose pictures are kept
    const state = { clip: null, file: null, frame: 0, playing: false, loop: true, speed: 1, seen: false, timer: null, counting: false };
    const pictures = new Map();
    const stage = { state, show, play, pause, step, set, frames, compare, changed: () => undefined, failed: () => undefined };

    const video = make("video", { class: "pia-view", playsinline: true, preload: "auto", hidden: true });
    video.muted = true;
    const moving = make("img", { class: "pia-view", alt: words("Frame of the clip"), hidden: true });
    const single = make("canvas", { class: "pia-view", role: "img", "aria-label": words("Frame of the clip"), hidden: true });
    const picture = make("img", { class: "pia-view pia-picture", alt: words("The picture that was animated"), hidden: true });
    stage.root = make("div", { class: "pia-stage", tabindex: 0, role: "group",
        "aria-label": words("Clip: space plays and stops, arrow keys step, Home and End jump") }, video, moving, single, picture);

    // ---- what is shown

    /** @param {Clip} clip @param {ClipFile} file */
    function show(clip, file) {
        pause();
        if (state.clip !== clip) pictures.clear();
        Object.assign(state, { clip, file, frame: 0 });
        stage.root.style.aspectRatio = `${file.width} / ${file.height}`;
        video.removeAttribute("src");
        moving.removeAttribute("src");
        if (clip.picture) picture.src = pia.fileAddress(clip.picture);
        play();
    }

    /** Number of frames of the file; as PNG it is one file per frame. */
    function frames() {
        if (!state.file) return 0;
        return state.file.format === "png" ? state.clip.files.filter((file) => file.format === "png").length : state.file.frames;
    }

    function isVideo() {
        return Boolean(state.file) && VIDEO.includes(state.file.format);
    }

    /** A GIF, WebP or APNG plays by itself at its own speed, for ever; anything else it does is shown frame by frame. */
    function playsItself() {
        return !isVideo() && state.file.format !== "png" && state.speed === 1 && state.loop;
    }

    function view(wanted) {
        for (const one of [video, moving, single]) if (one.hidden !== (one !== wanted)) one.hidden = one !== wanted;
    }

    /** The picture covers the left part: `percent` of the width. */
    function compare(percent) {
        picture.hidden = percent === 0 || !state.clip || !state.clip.picture;
        picture.style.clipPath = `inset(0 ${100 - percent}% 0 0)`;
    }

    // ---- playing

    function play() {
        if (!state.file) return;
        state.playing = true;
        if (state.frame >= frames() - 1) state.frame = 0;
        run();
    }

    function pause() {
        const wasMoving = state.playing && state.file && !isVideo();
        state.playing = false;
        run();
        if (wasMoving) drawFrame();
    }

    /** Sets `speed` or `loop`. */
    function set(values) {
        Object.assign(state, values);
        if (state.playing) run();
    }

    /** Does what the state says. */
    function run() {
        clearInterval(state.timer);
        stage.changed();
        if (!state.playing || !state.seen) return video.pause();
        if (isVideo()) return runVideo();
        if (playsItself()) {
            view(moving);
            if (!moving.src) moving.src = pia.fileAddress(state.file.path);
        }
        state.timer = setInterval(tick, 1000 / ((state.file.fps || 8) * state.speed));
        return undefined;
    }

    function runVideo() {
        loadVideo();
        view(video);
        video.playbackRate = state.speed;
        video.loop = state.loop;
        if (video.ended || state.frame === 0) video.currentTime = 0;
        video.play().catch(() => undefined);                // it was hidden meanwhile
        if (!state.counting) countFrames();
    }

    function loadVideo() {
        if (!video.src) video.src = pia.fileAddress(state.file.path);
    }

    /** Follows the video's frames, where the browser tells them. */
    function countFrames() {
        if (!video.requestVideoFrameCallback) return;
        state.counting = true;
        video.requestVideoFrameCallback(() => {
            state.counting = false;
            if (!state.playing || !isVideo()) return;
            at(video.currentTime);
            countFrames();
        });
    }

    function at(time) {
        state.frame = Math.min(Math.floor(time * state.file.fps + 0.01), frames() - 1);
        stage.changed();
    }

    video.addEventListener("timeupdate", () => {
        if (state.playing && isVideo()) at(video.currentTime);
    });
    video.addEventListener("ended", () => {
        if (isVideo() && !state.loop) pause();
    });

    /** One frame on, of what is no video. */
    function tick() {
        if (state.frame >= frames() - 1 && !state.loop) return pause();
        state.frame = (state.frame + 1) % frames();
        if (!playsItself()) drawFrame();
        return stage.changed();
    }

    /** Stops at a frame. */
    function step(frame) {
        if (!state.file) return;
        state.playing = false;
        state.frame = Math.min(Math.max(frame, 0), frames() - 1);
        run();
        if (isVideo()) {
            loadVideo();
            view(video);
            video.currentTime = (state.frame + 0.5) / state.file.fps;
        } else {
            drawFrame();
        }
    }

    new IntersectionObserver((entries) => {
        state.seen = entries[entries.length - 1].isIntersecting;
        run();
    }).observe(stage.root);

    // ---- single frames of files that cannot be stepped

    async function drawFrame() {
        const { clip, frame } = state;
        try {
            const bitmap = await createImageBitmap(await frameOf(clip.id, frame));
            if (state.clip !== clip || state.frame !== frame || (state.playing && playsItself())) return;
            if (single.width !== bitmap.width || single.height !== bitmap.height) Object.assign(single, { width: bitmap.width, height: bitmap.height });
            single.getContext("2d").drawImage(bitmap, 0, 0);
            view(single);
        } catch (error) {
            stage.failed(error.message);
        }
    }

    /** A frame's picture, fetched once. */
    function frameOf(clip, frame) {
        const key = `${clip}:${frame}`;
        if (!pictures.has(key)) {
            if (pictures.size >= KEPT) pictures.clear();
            pictures.set(key, pia.picture(`frame/${clip}/${frame}`).catch((error) => {
                pictures.delete(key);
                throw error;
            }));
        }
        return pictures.get(key);
    }

    return stage;
});
