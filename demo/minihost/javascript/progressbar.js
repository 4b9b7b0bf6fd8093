// Asks the server about the running task: bar, text and live preview over the gallery.

function randomId() {
    return `task(${Math.random().toString(36).slice(2, 17)})`;
}

function request(url, data, handler, errorHandler) {
    fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(data) })
        .then((response) => (response.ok ? response.json() : Promise.reject(response)))
        .then(handler)
        .catch(errorHandler);
}

function requestProgress(id_task, progressbarContainer, gallery, atEnd, onProgress, inactivityTimeout = 40) {
    const started = Date.now(), holder = document.createElement("div"), preview = document.createElement("div");
    holder.className = "progressDiv";
    holder.innerHTML = "<div class='progress'></div>";
    preview.className = "livePreview";
    progressbarContainer.parentNode.insertBefore(holder, progressbarContainer);
    let active = false;

    function finish() {
        holder.remove();
        preview.remove();
        atEnd();
    }

    function show(answer) {
        const percent = Math.round((answer.progress || 0) * 100), bar = holder.firstChild;
        bar.style.width = `${percent}%`;
        bar.textContent = [answer.textinfo, percent ? `${percent}%` : ""].filter(Boolean).join(" ");
        if (answer.live_preview && gallery) {
            if (!preview.parentNode) gallery.appendChild(preview);
            preview.innerHTML = `<img src="${answer.live_preview}">`;
        }
        if (onProgress) onProgress(answer);
    }

    function ask(id_live_preview) {
        request("./internal/progress", { id_task, id_live_preview, live_preview: true }, (answer) => {
            if (answer.completed || (active && !answer.active && !answer.queued)) return finish();
            active = active || answer.active;
            if (!active && !answer.queued && Date.now() - started > inactivityTimeout * 1000) return finish();
            show(answer);
            setTimeout(() => ask(answer.id_live_preview), opts.live_preview_refresh_period || 500);
        }, finish);
    }

    ask(-1);
}
