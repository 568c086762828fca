// Streams an answer into the page, of a conversation or from documents, and looks now and then whether a handed-over request has been decided. Without it
// every form works as it stands. What is shown for good always comes from the server: this only fills the wait.
"use strict";
(() => {
  const place = document.getElementById("conversation");
  const form = document.getElementById("ask");
  const live = document.getElementById("live"), fromDocuments = document.getElementById("answer");
  // The same characters as operate/console/texts.py shows by their numbers.
  const unseen = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
  const visible = (text) => text.replace(unseen, (c) => "[U+" + c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0") + "]");

  function turn(role, who, text) {
    const made = document.createElement("div");
    made.className = "turn " + role;
    const name = document.createElement("div");
    name.className = "who";
    name.textContent = who;
    const words = document.createElement("div");
    words.className = "words";
    const said = document.createElement("bdi");
    said.className = "said";
    said.textContent = visible(text);
    words.append(said);
    made.append(name, words);
    return [made, said];
  }

  async function renew(address) {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) { location.assign(address); return; }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    place.replaceChildren(...page.getElementById("conversation").childNodes);
    const after = page.querySelector("input[name=after]");
    if (form && after) {
      form.elements.after.value = after.value;
      for (const one of [".heading", "label[for=query]"]) document.querySelector(one).replaceWith(page.querySelector(one));
    }
    watch();
  }

  async function ask(event) {
    event.preventDefault();
    const button = form.querySelector("button");
    if (button.disabled || !form.elements.query.value.trim()) return;
    const said = form.dataset, query = form.elements.query.value;
    button.disabled = true;
    document.querySelectorAll(".empty").forEach((one) => one.remove());
    const [mine] = turn("user", said.you, query), [theirs, text] = turn("assistant", said.answer, "");
    place.append(mine);
    mine.scrollIntoView({ block: "nearest" });
    let end = 0;
    try {
      await posted(form, (told) => {
        if (told.decision) place.append(theirs);
        if (told.text) text.textContent += visible(told.text);
        if (told.end) end = told.end;
      });
      if (!end) throw new Error("");
      form.elements.query.value = "";
      if (form.elements.images) form.elements.images.value = "";
      history.replaceState(null, "", "/console/chat?after=" + end);
      await renew("/console/chat?after=" + end);
      live.textContent = live.textContent.replace(said.writing, said.done);
      live.className = "hidden";  // the page says it too; this is for those who listen
      place.lastElementChild.scrollIntoView({ block: "nearest" });
    } catch (error) {
      failed(form, error);
    }
    button.disabled = false;
    form.elements.query.focus();
  }

  async function askDocuments(event) {
    event.preventDefault();
    const form = event.currentTarget, button = form.querySelector("button"), paper = document.createElement("div");
    if (button.disabled) return;
    button.disabled = true;
    document.querySelectorAll(".paper").forEach((one) => one.remove());
    paper.className = "paper";
    let page = "";
    try {
      await posted(form, (told) => {
        if (told.sentence) paper.append(visible(told.sentence.text), source(told.sentence.source, form.dataset), " ");
        if (told.notice) paper.append(visible(told.notice));
        if (paper.hasChildNodes() && !paper.isConnected) live.after(paper);
        if (told.page) page = told.page;
      });
      if (!page) throw new Error("");
      const whole = new DOMParser().parseFromString(page, "text/html"), main = document.getElementById("main");
      document.title = whole.title;
      main.replaceChildren(...whole.getElementById("main").childNodes);
      main.focus();
    } catch (error) {
      failed(form, error);
      button.disabled = false;
    }
  }

  function source(number, said) {
    const made = document.createElement("span");
    made.className = number ? "line" : "tag bad";
    made.textContent = number ? "[" + number + "]" : said.unsourced;
    return made;
  }

  async function posted(form, take) {
    const said = form.dataset, data = new FormData(form);
    const body = form.enctype.startsWith("multipart/") ? data : new URLSearchParams(data);
    live.className = "live";
    live.textContent = said.sending;
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "text/event-stream" } });
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    await events(answer, (told) => {
      if (told.error) throw new Error(told.error);
      if (told.decision) live.textContent = told.sign + " " + told.words + " · " + told.reference + " · " + said.number + " " + told.seq + " · " + said.writing;
      take(told);
    });
  }

  function failed(form, error) {
    live.className = "live bad";
    live.textContent = error.message && !(error instanceof TypeError) ? error.message : form.dataset.failed;
  }

  async function events(answer, take) {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let waiting = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (waiting + value).split("\n\n");
      waiting = parts.pop();
      for (const part of parts) take(JSON.parse(part.slice("data: ".length)));
    }
  }

  let timer = 0, looks = 180;  // half an hour: an unattended page must not keep its session alive
  function watch() {
    clearTimeout(timer);
    const waiting = place.querySelector("[data-state]");
    if (!waiting || looks-- <= 0) return;
    timer = setTimeout(async () => {
      try {
        const answer = await fetch(waiting.dataset.state, { headers: { Accept: "application/json" } });
        if (answer.ok && (await answer.json()).status !== waiting.dataset.now) return renew(location.href);
        if (answer.status === 401) return;
      } catch { /* the server is away for a moment */ }
      watch();
    }, 10000);
  }

  if (form) {
    form.addEventListener("submit", ask);
    form.elements.query.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) form.requestSubmit();
    });
  }
  if (fromDocuments) fromDocuments.addEventListener("submit", askDocuments);
  if (place) watch();
  // A text file is copied into the field that is sent: UTF-8, else Shift_JIS as Windows writes it.
  for (const input of document.querySelectorAll("input[type=file][data-into]")) {
    input.addEventListener("change", async () => {
      const file = input.files[0];
      if (!file) return;
      const bytes = await file.arrayBuffer();
      const utf16 = new Uint8Array(bytes.slice(0, 2)).join() === "255,254";
      let text;
      try {
        text = new TextDecoder(utf16 ? "utf-16le" : "utf-8", { fatal: true }).decode(bytes);
      } catch {
        text = new TextDecoder("shift_jis").decode(bytes);
      }
      document.getElementById(input.dataset.into).value = text;
      const title = document.getElementById("title");
      if (title && !title.value) title.value = file.name.replace(/\.[^.]*$/, "").slice(0, 100);
    });
  }
})();
